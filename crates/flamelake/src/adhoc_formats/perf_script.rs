//! The text of `perf script` (its manual page): a line for each event, below it its frames from the leaf on, then an empty line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Stacks of the programs, each with its number of events, as folded text. `None`: it is something else.
pub(super) fn folded(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let mut stacks: BTreeMap<String, u64> = BTreeMap::new();
    let mut lines = text.lines().filter(|line| !line.starts_with('#')).peekable();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let mut stack = vec![program(line)?];
        let mut frames = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty()) {
            frames.push(function(line.trim())?);
        }
        stack.extend(frames.into_iter().rev());
        *stacks.entry(stack.join(";")).or_default() += 1;
    }
    let mut out = String::new();
    for (stack, count) in stacks {
        writeln!(out, "{stack} {count}").ok()?;
    }
    (!out.is_empty()).then_some(out)
}

/// `comm  pid/tid [cpu] time: period event:` or `comm  pid time: event:`.
fn program(line: &str) -> Option<String> {
    let ends = line.trim_end().ends_with(':') || line.trim_end().ends_with(": ");
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_id = |word: &str| {
        let mut parts = word.split('/');
        parts.clone().count() <= 2
            && parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_time = |word: &&str| word.strip_suffix(':').is_some_and(|time| time.parse::<f64>().is_ok());
    // Names of programs may hold spaces: the first number after them is an id.
    let id = words.iter().skip(1).position(|word| is_id(word))? + 1;
    (ends && words[id..].iter().any(is_time)).then(|| clean(&words[..id].join(" ")))
}

/// `address symbol+0xoffset (binary)`; a frame without symbol is named after its binary.
fn function(line: &str) -> Option<String> {
    let (address, rest) = line.split_once(' ')?;
    u64::from_str_radix(address, 16).ok()?;
    let (symbol, binary) = match rest.rsplit_once(" (") {
        Some((symbol, binary)) => (symbol, binary.strip_suffix(')')?),
        None => (rest, ""),
    };
    let symbol = symbol.rsplit_once("+0x").map_or(symbol, |(symbol, _)| symbol).trim();
    if symbol.is_empty() || symbol == "[unknown]" {
        let binary = binary.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("unknown");
        return Some(format!("[{}]", clean(binary.trim_matches(['[', ']']))));
    }
    Some(clean(symbol))
}

/// What parts stacks stays out of names.
fn clean(name: &str) -> String {
    name.replace(';', ":").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_become_stacks() {
        let text = "# captured on: today\n\
            shop  4711/4712 [001] 12345.678901:     250000 cpu-clock:u: \n\
            \t          401136 work+0x10 (/usr/bin/shop)\n\
            \t          401200 main;x+0x1a (/usr/bin/shop)\n\
            \t    7f0000001000 [unknown] (/usr/lib/libc.so.6)\n\n\
            shop  4711/4712 [001] 12345.688901:     250000 cpu-clock:u: \n\
            \t          401136 work+0x11 (/usr/bin/shop)\n\
            \t          401200 main;x+0x1a (/usr/bin/shop)\n\
            \t    7f0000001000 [unknown] (/usr/lib/libc.so.6)\n\n\
            Web Content 12 12345.7: cycles: \n\
            \tffffffff81 std::vector<int>::push_back(int const&)+0x8 ([kernel.kallsyms])\n";
        assert_eq!(
            folded(text.as_bytes()).unwrap(),
            "Web Content;std::vector<int>::push_back(int const&) 1\nshop;[libc.so.6];main:x;work 2\n"
        );
    }

    #[test]
    fn other_texts_are_not_taken() {
        for text in
            ["", "main;a 3\n", "main;a\n", "{\"a\":1}", "some 12 words: of prose:\n", "x 1/1 5.0: c:\n\tnohex f (b)\n"]
        {
            assert_eq!(folded(text.as_bytes()), None, "{text}");
        }
    }
}
