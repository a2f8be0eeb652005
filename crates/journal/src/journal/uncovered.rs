//! How much log no block covers yet.

use std::collections::VecDeque;

/// Neighbouring segments are counted together up to this size, so that the list stays short.
const STEP_BYTES: u64 = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Uncovered {
    steps: VecDeque<Step>,
    bytes: u64,
}

#[derive(Debug)]
struct Step {
    log: String,
    last: u64,
    bytes: u64,
}

impl Uncovered {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn add(&mut self, log: &str, seq: u64, bytes: u64) {
        self.bytes += bytes;
        match self.steps.back_mut() {
            Some(step) if step.log == log && step.bytes < STEP_BYTES => {
                step.last = seq;
                step.bytes += bytes;
            }
            _ => self.steps.push_back(Step { log: log.to_owned(), last: seq, bytes }),
        }
    }

    pub(super) fn cover(&mut self, log: &str, through: u64) {
        self.steps.retain(|step| step.log != log || step.last > through);
        self.bytes = self.steps.iter().map(|step| step.bytes).sum();
    }
}
