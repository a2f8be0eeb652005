//! Errors as one line of text.

use std::error::Error;

/// An error and its causes, as `the error: its cause: the cause of that`.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
