//! Sums by stack id: a hash while few stacks were met, a dense array as soon as that is cheaper.

use std::collections::HashMap;

use flamelake_model::query::{QueryStats, SampleFilter};

use crate::sample_filter::RowFilter;
use crate::select::{SERIES_PER_CALL, SelectedPartition, SeriesFilter};
use crate::{ProfileSource, SourceError};
use flamelake_block::pause::pause;

/// A dense array is taken once one stack in this many was met (performance.md section 3.5, step 3).
const DENSE_SHARE: u32 = 16;

/// Wrapping sums of sample values by stack.
pub(crate) enum StackSums {
    Few { sums: HashMap<u32, i64, foldhash::fast::FixedState>, stacks: u32 },
    Dense(Vec<i64>),
}

impl StackSums {
    /// For stack ids below `stacks`.
    pub(crate) fn new(stacks: u32) -> Self {
        Self::Few { sums: HashMap::default(), stacks }
    }

    /// Adds a value; false when the stack id is out of range, which only damaged data has.
    pub(crate) fn add(&mut self, stack: u32, value: i64) -> bool {
        match self {
            Self::Dense(sums) => match sums.get_mut(stack as usize) {
                Some(sum) => *sum = sum.wrapping_add(value),
                None => return false,
            },
            Self::Few { sums, stacks } => {
                if stack >= *stacks {
                    return false;
                }
                let sum = sums.entry(stack).or_insert(0);
                *sum = sum.wrapping_add(value);
                if sums.len() > (*stacks / DENSE_SHARE) as usize {
                    *self = Self::Dense(spread(sums, *stacks));
                }
            }
        }
        true
    }

    /// Calls `take(stack, sum)` for every sum other than 0, in no particular order.
    pub(crate) fn each(&self, mut take: impl FnMut(u32, i64)) {
        match self {
            Self::Few { sums, .. } => {
                sums.iter().filter(|(_, sum)| **sum != 0).for_each(|(stack, sum)| take(*stack, *sum))
            }
            Self::Dense(sums) => {
                (0_u32..).zip(sums).filter(|(_, sum)| **sum != 0).for_each(|(stack, sum)| take(stack, *sum));
            }
        }
    }
}

fn spread(few: &HashMap<u32, i64, foldhash::fast::FixedState>, stacks: u32) -> Vec<i64> {
    let mut dense = vec![0; stacks as usize];
    for (stack, sum) in few {
        dense[*stack as usize] = *sum;
    }
    dense
}

/// Sums the samples of a partition's selected series. `positive` leaves out values that are not above 0, as trees do.
pub(crate) async fn sum_stacks(
    source: &dyn ProfileSource,
    partition: &SelectedPartition,
    series_filter: &SeriesFilter<'_>,
    filter: &SampleFilter,
    stacks: u32,
    positive: bool,
    stats: &mut QueryStats,
) -> Result<StackSums, SourceError> {
    let rows = RowFilter::new(filter);
    let mut sums = StackSums::new(stacks);
    let mut in_range = true;
    for series in partition.series.chunks(SERIES_PER_CALL) {
        let mut sink = |batch: flamelake_block::reader::SampleBatch<'_>| {
            for profile in batch.profiles.iter().filter(|profile| rows.takes_profile(profile)) {
                stats.profiles += 1;
                stats.samples += u64::from(profile.samples_end.saturating_sub(profile.samples_start));
                rows.each_sample(&batch, profile, |stack, value| {
                    if value > 0 || !positive {
                        in_range &= sums.add(stack, value);
                    }
                });
            }
        };
        let SeriesFilter { from, to, .. } = *series_filter;
        if rows.takes_all() {
            source.summed(partition.part, series, from, to, &mut sink).await?;
        } else {
            source.samples(partition.part, series, from, to, rows.columns(), &mut sink).await?;
        }
        pause().await;
    }
    if in_range { Ok(sums) } else { Err(foreign_stack(source)) }
}

/// What a stack id outside the partition's symbols means.
pub(crate) fn foreign_stack(source: &dyn ProfileSource) -> SourceError {
    let reason = "a sample names a stack that the symbols do not have".to_owned();
    SourceError::Damaged { name: source.name(), reason, missing: false }
}
