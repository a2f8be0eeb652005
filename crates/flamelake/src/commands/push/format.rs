//! What a file is, by what stands in it. Sees one file's bytes, unpacked; never its name, never the network.

use anyhow::bail;
use clap::ValueEnum;

/// What a server takes (docs/ingest.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Pprof,
    Jfr,
    /// Lines `main;work 3`.
    Folded,
    /// A stack a line, each counted once.
    Lines,
    /// Nodes are frames.
    Tree,
    /// Nodes are bytes of folded stacks.
    Trie,
    Speedscope,
    /// OTLP, protobuf.
    Otlp,
    OtlpJson,
}

/// Text is told by its first lines.
const LINES_LOOKED_AT: usize = 1000;
/// JSON is told by its first keys: producers write what tells it early, or it is named in the address of its schema.
const JSON_LOOKED_AT: usize = 1 << 20;

impl Format {
    /// The word for it, as in `--format`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pprof => "pprof",
            Self::Jfr => "jfr",
            Self::Folded => "folded",
            Self::Lines => "lines",
            Self::Tree => "tree",
            Self::Trie => "trie",
            Self::Speedscope => "speedscope",
            Self::Otlp => "otlp",
            Self::OtlpJson => "otlp-json",
        }
    }

    /// Does the name say what is measured?
    pub(super) fn has_no_types(self) -> bool {
        matches!(self, Self::Folded | Self::Lines | Self::Tree | Self::Trie | Self::Speedscope)
    }

    /// Recognises a body.
    pub(crate) fn of(body: &[u8]) -> anyhow::Result<Self> {
        if body.is_empty() {
            bail!("the file is empty");
        }
        if body.starts_with(b"FLR\0") {
            return Ok(Self::Jfr);
        }
        let found = json(body).or_else(|| text(body)).or_else(|| protobuf(body)).or_else(|| tree(body));
        match found {
            Some(format) => Ok(format),
            None => bail!("this is no profile of a known format; if it is one all the same, say which with --format"),
        }
    }
}

fn json(body: &[u8]) -> Option<Format> {
    if *body.trim_ascii_start().first()? != b'{' {
        return None;
    }
    let start = &body[..body.len().min(JSON_LOOKED_AT)];
    let has = |word: &[u8]| start.windows(word.len()).any(|window| window == word);
    if has(b"\"resourceProfiles\"") || has(b"\"resource_profiles\"") || has(b"\"dictionary\"") {
        return Some(Format::OtlpJson);
    }
    // Its small keys may stand behind a long list of profiles.
    (has(b"speedscope.app/file-format-schema") || has(b"\"shared\"") || has(b"\"profiles\""))
        .then_some(Format::Speedscope)
}

/// Lines of UTF-8 without control characters: folded if each ends in a number. Prose is no stack: its lines have spaces and no `;`.
fn text(body: &[u8]) -> Option<Format> {
    let text = std::str::from_utf8(body).ok()?;
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return None;
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(LINES_LOOKED_AT);
    let lines: Vec<&str> = lines.collect();
    let counted = |line: &&str| line.rsplit_once(' ').is_some_and(|(_, count)| count.parse::<u64>().is_ok());
    let stack = |line: &&str| line.contains(';') || !line.contains(char::is_whitespace);
    match lines.first()? {
        _ if lines.iter().all(counted) => Some(Format::Folded),
        first if lines.iter().all(stack) && !first.starts_with(['{', '[', '<']) => Some(Format::Lines),
        _ => None,
    }
}

/// pprof and OTLP are told by their first field: `sample_type` holds numbers alone, `resource_profiles` messages alone.
fn protobuf(body: &[u8]) -> Option<Format> {
    // The whole must be one message.
    if fields(body).any(|field| field.is_none()) {
        return None;
    }
    let (mut first, mut others) = (None, false);
    for (number, wire) in fields(body).flatten() {
        match (number, wire) {
            (1, Wire::Bytes(inner)) if first.is_none() => first = Some(inner),
            (1..=2, Wire::Bytes(_)) => {}
            _ => others = true,
        }
    }
    let inner = first?;
    if fields(inner).any(|field| field.is_none()) {
        return None;
    }
    let numbers = fields(inner).flatten().all(|(number, wire)| number <= 2 && matches!(wire, Wire::Number));
    let messages = fields(inner).flatten().all(|(_, wire)| matches!(wire, Wire::Bytes(_)));
    match (numbers, messages) {
        (true, _) => Some(Format::Pprof),
        (false, true) if !others => Some(Format::Otlp),
        _ => None,
    }
}

enum Wire<'a> {
    Number,
    Bytes(&'a [u8]),
}

/// The fields of a message; `None` once where it is broken.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Option<(u64, Wire<'_>)>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_none() {
            rest = &[];
        }
        Some(field)
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let key = varint(rest)?;
    let wire = match key & 7 {
        0 => varint(rest).map(|_| Wire::Number)?,
        1 => take(rest, 8).map(|_| Wire::Number)?,
        2 => {
            let length = varint(rest)?;
            Wire::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Wire::Number)?,
        _ => return None,
    };
    (key >> 3 > 0).then_some((key >> 3, wire))
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = left;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Records `varint(len) name varint(value) varint(children)` below a root without a name. Trees and tries are laid out alike; only the
/// names of a trie hold what parts frames.
fn tree(body: &[u8]) -> Option<Format> {
    let (mut rest, mut open, mut parts_frames) = (body, 1_u64, false);
    while open > 0 {
        let length = varint(&mut rest)?;
        let name = take(&mut rest, length)?;
        let _value = varint(&mut rest)?;
        let children = varint(&mut rest)?;
        open = (open - 1).checked_add(children)?;
        // Parents stand first, so a count of children that no bytes follow is none.
        if open > rest.len() as u64 {
            return None;
        }
        parts_frames |= name.contains(&b';');
    }
    rest.is_empty().then_some(if parts_frames { Format::Trie } else { Format::Tree })
}

#[cfg(test)]
mod tests {
    use flamelake_testkit::{ProfileBuilder, fuzz};

    use super::*;

    const TREE: &[u8] = b"\x00\x00\x01\x01a\x00\x02\x01b\x01\x00\x01c\x02\x00";

    fn otlp() -> Vec<u8> {
        // resource_profiles { scope_profiles { profiles {} } } dictionary {}
        b"\x0a\x04\x12\x02\x12\x00\x12\x00".to_vec()
    }

    fn is(body: &[u8]) -> Option<&'static str> {
        Format::of(body).ok().map(Format::word)
    }

    #[test]
    fn each_format_is_told_by_its_bytes() {
        let pprof = ProfileBuilder::cpu().folded("main;work 3\n").plain();
        for (body, format) in [
            (pprof.as_slice(), Some("pprof")),
            (b"FLR\0\0\x02\0\0", Some("jfr")),
            (b"main;work 3\nmain 1\n", Some("folded")),
            (b"main;work\nmain\n", Some("lines")),
            (b"main;work 3\nmain\n", Some("lines")),
            (TREE, Some("tree")),
            (b"\x00\x00\x01\x02a;\x00\x02\x01b\x01\x00\x01c\x02\x00", Some("trie")),
            (br#"{"$schema":"https://www.speedscope.app/file-format-schema.json"}"#, Some("speedscope")),
            (br#" {"version":"0.0.1","profiles":[],"shared":{"frames":[]}}"#, Some("speedscope")),
            (br#"{"resourceProfiles":[]}"#, Some("otlp-json")),
            (&otlp(), Some("otlp")),
            (b"", None),
            (b"\x07text", None),
            (br#"{"a":1}"#, None),
            (b"not a profile", None),
        ] {
            assert_eq!(is(body), format, "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn fuzz_what_a_file_is() {
        let pprof = ProfileBuilder::cpu().folded("main;work 3\n").plain();
        let corpus = [pprof, TREE.to_vec(), otlp(), br#"{"shared":{}}"#.to_vec(), b"main;work 3\n".to_vec()];
        fuzz::run("push format", &corpus, |body| {
            let _ = Format::of(body);
        });
    }
}
