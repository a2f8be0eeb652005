//! Wire messages to and from values of `model`.

mod answer;
mod heatmap;
mod function_series;
mod function_index;
mod question;

use flamelake_model::{Labels, ProfileType, StatusError};

pub use answer::{AnswerAssembler, answer_chunks};
pub use question::tenant;

use crate::types::v1;

impl From<&Labels> for v1::Labels {
    fn from(labels: &Labels) -> Self {
        Self { labels: label_pairs(labels) }
    }
}

impl From<&v1::Labels> for Labels {
    fn from(labels: &v1::Labels) -> Self {
        labels_from_pairs(&labels.labels)
    }
}

/// A label set as the wire lists it, in order of names.
pub fn label_pairs(labels: &Labels) -> Vec<v1::LabelPair> {
    labels.iter().map(|label| v1::LabelPair { name: label.name.to_string(), value: label.value.to_string() }).collect()
}

/// A set from pairs in any order; of equal names the last wins, empty values are left out.
pub fn labels_from_pairs(pairs: &[v1::LabelPair]) -> Labels {
    Labels::from_pairs(pairs.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())))
}

impl From<&ProfileType> for v1::ProfileType {
    fn from(profile_type: &ProfileType) -> Self {
        Self {
            id: profile_type.to_string(),
            name: profile_type.name.clone(),
            sample_type: profile_type.sample_type.clone(),
            sample_unit: profile_type.sample_unit.clone(),
            period_type: profile_type.period_type.clone(),
            period_unit: profile_type.period_unit.clone(),
        }
    }
}

/// An id of 16 bytes.
fn bytes16(bytes: &[u8]) -> Result<[u8; 16], StatusError> {
    bytes.try_into().map_err(|_| StatusError::invalid_argument("an id must have 16 bytes"))
}
