//! `multipart/form-data`, as far as SDKs use it: file parts by name, in memory.

use std::collections::HashMap;

use bytes::Bytes;

/// More parts than any SDK sends.
const PARTS_MAX: usize = 1000;
/// Bytes of the headers of a part.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// The file parts; of several with one name the first. A part without a file name is a form field and is left out.
pub(crate) fn files(content_type: &str, body: &Bytes) -> Result<HashMap<String, Bytes>, String> {
    let boundary = parameter(content_type, "boundary").filter(|boundary| (1..=70).contains(&boundary.len()));
    let boundary = boundary.ok_or("the Content-Type has no boundary of 1 to 70 characters")?;
    let delimiter = format!("--{boundary}").into_bytes();
    let mut files = HashMap::new();
    let mut at = next_line(body, 0, &delimiter).ok_or("the body does not hold the boundary of its Content-Type")?;
    for _ in 0..PARTS_MAX {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Ok(files);
        }
        let rest_at = at + line_end(rest).ok_or("a boundary is not followed by a line end")?;
        let window = &body[rest_at..body.len().min(rest_at + HEADER_BYTES_MAX)];
        let (headers, content) = match find(window, b"\r\n\r\n") {
            _ if window.starts_with(b"\r\n") => (&window[..0], rest_at + 2),
            Some(end) => (&window[..end], rest_at + end + 4),
            None => return Err(format!("the headers of a part do not end within {HEADER_BYTES_MAX} bytes")),
        };
        let after = next_line(body, content.saturating_sub(2), &delimiter).ok_or("the last part does not end")?;
        // The line end before a boundary belongs to it.
        let end = (after - delimiter.len()).saturating_sub(2).max(content);
        if let Some(name) = file_name(headers) {
            files.entry(name).or_insert_with(|| body.slice(content..end));
        }
        at = after;
    }
    Err(format!("the body has more than {PARTS_MAX} parts"))
}

/// Where the next delimiter at the start of a line ends.
fn next_line(body: &[u8], from: usize, delimiter: &[u8]) -> Option<usize> {
    let mut at = from;
    loop {
        let found = at + find(body.get(at..)?, delimiter)?;
        if found == 0 || body[..found].ends_with(b"\r\n") {
            return Some(found + delimiter.len());
        }
        at = found + 1;
    }
}

/// Bytes up to the next line; spaces may stand behind a boundary.
fn line_end(rest: &[u8]) -> Option<usize> {
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    rest[blanks..].starts_with(b"\r\n").then_some(blanks + 2)
}

/// The name of a part that is a file.
fn file_name(headers: &[u8]) -> Option<String> {
    let headers = String::from_utf8_lossy(headers);
    let header = headers.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    parameter(header, "filename").filter(|file| !file.is_empty())?;
    parameter(header, "name")
}

/// A parameter of a header value: a token, or a text in quotes.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, value) = rest.split_once('=')?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim().to_owned(), &value[end..])
            }
        };
        if name.trim_matches([' ', '\t', ';']).eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = 0;
    while let Some(found) = haystack.get(at..)?.iter().position(|byte| *byte == first) {
        at += found;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(content_type: &str, body: &str) -> Result<Vec<String>, String> {
        let files = files(content_type, &Bytes::copy_from_slice(body.as_bytes()))?;
        let mut names: Vec<_> = files.iter().map(|(k, v)| format!("{k}={}", String::from_utf8_lossy(v))).collect();
        names.sort();
        Ok(names)
    }

    const TYPE: &str = "multipart/form-data; boundary=\"b1\"";

    #[test]
    fn files_by_name() {
        let body = "preamble\r\n--b1\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f\"\r\nX: y\r\n\r\none\r\n--b1x\r\n--b1 \r\n\
                    content-disposition: form-data; filename=g; name=b\r\n\r\n\r\n--b1\r\nContent-Disposition: form-data; name=\"c\"\r\n\r\nfield\r\n--b1--\r\n";
        let body = body.replace("--b1x", "-b1x");
        assert_eq!(names(TYPE, &body), Ok(vec!["a=one\r\n-b1x".to_owned(), "b=".to_owned()]));
        assert_eq!(names(TYPE, "--b1--"), Ok(vec![]));
    }

    #[test]
    fn broken_bodies_are_told() {
        let no_boundary = names("multipart/form-data", "--b1--").unwrap_err();
        assert_eq!(no_boundary, "the Content-Type has no boundary of 1 to 70 characters");
        assert!(names(TYPE, "").is_err());
        assert!(names(TYPE, "--b1\r\nno end").is_err());
        assert!(names(TYPE, "--b1\r\n\r\nno end").is_err());
        assert!(names(TYPE, &"--b1\r\n\r\n\r\n".repeat(2000)).unwrap_err().contains("more than"));
    }

    #[test]
    fn fuzz_multipart() {
        let corpus =
            [b"--b1\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f\"\r\n\r\none\r\n--b1--\r\n".to_vec()];
        flamelake_testkit::fuzz::run("multipart", &corpus, |input| {
            let body = Bytes::copy_from_slice(input);
            let _ = files(TYPE, &body);
            let _ = files(&String::from_utf8_lossy(input), &body);
        });
    }
}
