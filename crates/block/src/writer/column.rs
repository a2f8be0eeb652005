//! Columns as the writer takes them: arrays, or runs of equal values, which cost nothing a row.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, UInt16Array, UInt32Array, new_null_array};
use arrow_schema::{DataType, Field};

/// Some rows of one column.
#[derive(Debug)]
pub(super) enum Column {
    /// One value a row.
    Values(ArrayRef),
    /// Equal neighbours, of a column of `UInt16` or `UInt32`.
    Runs(Vec<Run>),
    /// So many rows without a value.
    Nulls(usize),
}

/// A value and how many rows have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) value: u32,
    pub(super) rows: u32,
}

/// One value a row.
pub(super) fn values(array: impl Array + 'static) -> Column {
    Column::Values(Arc::new(array))
}

/// The same value in all rows.
pub(super) fn repeated(value: u32, rows: usize) -> Column {
    Column::Runs(vec![Run { value, rows: rows as u32 }])
}

/// Number of the partition, on every row of every table.
pub(super) fn part_column(part: u16, rows: usize) -> Column {
    repeated(u32::from(part), rows)
}

impl Column {
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Values(array) => array.len(),
            Self::Runs(runs) => runs.iter().map(|run| run.rows as usize).sum(),
            Self::Nulls(rows) => *rows,
        }
    }

    /// Whether the schema takes it.
    pub(super) fn is_of(&self, field: &Field) -> bool {
        match self {
            Self::Values(array) => array.data_type() == field.data_type(),
            Self::Runs(_) => matches!(field.data_type(), DataType::UInt16 | DataType::UInt32),
            Self::Nulls(_) => field.is_nullable(),
        }
    }

    /// One value a row.
    pub(super) fn to_array(&self, kind: &DataType) -> ArrayRef {
        match self {
            Self::Values(array) => Arc::clone(array),
            Self::Nulls(rows) => new_null_array(kind, *rows),
            Self::Runs(runs) => {
                let each = runs.iter().flat_map(|run| std::iter::repeat_n(run.value, run.rows as usize));
                match kind {
                    DataType::UInt16 => Arc::new(UInt16Array::from_iter_values(each.map(|value| value as u16))),
                    _ => Arc::new(UInt32Array::from_iter_values(each)),
                }
            }
        }
    }
}

/// Adds rows to the last run or begins one.
pub(super) fn push_run(runs: &mut Vec<Run>, value: u32, rows: usize) {
    match runs.last_mut() {
        Some(last) if last.value == value => last.rows += rows as u32,
        _ if rows == 0 => {}
        _ => runs.push(Run { value, rows: rows as u32 }),
    }
}
