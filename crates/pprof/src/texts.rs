//! Texts of a scanned profile: spans of the message, or of the rewritten texts that stand behind it in index space.

use std::borrow::Cow;

use crate::scan::Span;

/// Where spans point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts<'a> {
    pub(crate) message: &'a [u8],
    pub(crate) rewritten: &'a [u8],
}

impl<'a> Texts<'a> {
    #[inline]
    pub(crate) fn get(&self, span: Span) -> &'a [u8] {
        let (start, len) = (span.start as usize, span.len as usize);
        match start.checked_sub(self.message.len()) {
            None => &self.message[start..start + len],
            Some(start) => &self.rewritten[start..start + len],
        }
    }

    /// As text; a profile that passed `validate` is never changed by this.
    #[inline]
    pub(crate) fn str(&self, span: Span) -> Cow<'a, str> {
        let bytes = self.get(span);
        // Several times faster than the lossy way, which goes character by character.
        std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
    }
}
