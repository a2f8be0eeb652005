//! Golden files: long expected outputs that live beside the test. `UPDATE_GOLDEN=1` rewrites them.

use std::fs;
use std::path::Path;

/// Compares text with a golden file; `dir` is the caller's [`package_dir`](crate::package_dir), `file` is relative to it.
///
/// # Panics
/// If they differ, naming the first line that does, or if the file is not there.
pub fn assert_golden(dir: &Path, file: &str, actual: &str) {
    let path = dir.join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|v| v == "1") {
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("make the golden folder");
        fs::write(&path, actual).expect("write the golden file");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("read golden file {}: {error}; UPDATE_GOLDEN=1 writes it", path.display());
    });
    if let Some(difference) = first_difference(&expected, actual) {
        panic!("{} differs: {difference}; UPDATE_GOLDEN=1 rewrites it", path.display());
    }
}

fn first_difference(expected: &str, actual: &str) -> Option<String> {
    if expected == actual {
        return None;
    }
    let (mut want, mut got) = (expected.lines(), actual.lines());
    for number in 1.. {
        match (want.next(), got.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => return Some(format!("line {number}: expected {a:?}, got {b:?}")),
        }
    }
    Some("line ends".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(first_difference("a\nb", "a\nb"), None);
        assert_eq!(first_difference("a\nb", "a\nc").unwrap(), r#"line 2: expected Some("b"), got Some("c")"#);
        assert_eq!(first_difference("a", "a\nc").unwrap(), r#"line 2: expected None, got Some("c")"#);
    }
}
