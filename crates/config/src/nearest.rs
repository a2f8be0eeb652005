//! The right word for a mistyped one.

/// The candidate most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|candidate| (likeness(word, candidate), candidate));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (best.0 > 0.75).then_some(best.1)
}

/// Of the whole words, or of their last parts: people forget the group more often than the name.
fn likeness(word: &str, candidate: &str) -> f64 {
    let last = |text: &str| text.rsplit('.').next().map(str::to_owned).unwrap_or_default();
    let (whole, part) =
        (strsim::jaro(word, candidate), strsim::normalized_damerau_levenshtein(&last(word), &last(candidate)));
    // A perfect last part in another group must not beat a near miss in the right one.
    whole.max(0.3 * whole + 0.7 * part - 0.02)
}
