//! Selectors of samples: ids as text and call sites. A bad text is the caller's mistake, whether or not there is data.

use flamelake_model::query::{GoPgo, SampleFilter};
use flamelake_model::{ProfileId, StatusError};

/// Most ids in one selector.
const IDS_MAX: usize = 10_000;
/// Most frames of a call site.
const CALL_SITE_MAX: usize = 4096;

/// Which samples count, as a request says it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SampleFilterInput {
    /// UUIDs.
    pub(crate) profile_ids: Vec<String>,
    /// 16 hex characters each.
    pub(crate) span_ids: Vec<String>,
    /// 32 hex characters each.
    pub(crate) trace_ids: Vec<String>,
    /// Root first.
    pub(crate) call_site: Vec<String>,
    pub(crate) go_pgo: Option<GoPgo>,
}

impl SampleFilterInput {
    /// Spans and traces exclude each other.
    pub(crate) fn check_combination(&self) -> Result<(), StatusError> {
        if self.span_ids.is_empty() || self.trace_ids.is_empty() {
            return Ok(());
        }
        Err(StatusError::invalid_argument("span_selector and trace_id_selector cannot be combined: set one of them"))
    }

    /// The filter with its texts read.
    pub(crate) fn check(&self) -> Result<SampleFilter, StatusError> {
        if self.call_site.len() > CALL_SITE_MAX {
            return Err(StatusError::invalid_argument(format!("the call site has more than {CALL_SITE_MAX} frames")));
        }
        Ok(SampleFilter {
            profile_ids: read_all(&self.profile_ids, "profile id", "a UUID", ProfileId::parse)?,
            span_ids: read_all(&self.span_ids, "span id", "16 hex characters", |text| {
                hex(text).map(u64::from_le_bytes)
            })?,
            trace_ids: read_all(&self.trace_ids, "trace id", "32 hex characters", hex)?,
            call_site: self.call_site.clone(),
        })
    }
}

fn read_all<T>(
    texts: &[String],
    what: &str,
    form: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, StatusError> {
    if texts.len() > IDS_MAX {
        return Err(StatusError::invalid_argument(format!("more than {IDS_MAX} {what}s are selected")));
    }
    let invalid = |text: &String| StatusError::invalid_argument(format!("invalid {what} {text:?}: it must be {form}"));
    texts.iter().map(|text| read(text).ok_or_else(|| invalid(text))).collect()
}

fn hex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let text = text.as_bytes();
    if text.len() != 2 * BYTES {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(char: u8) -> Option<u8> {
    (char as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
