//! How files look: headers, names, lengths, and what no file may tell.

use flamelake_tidy::{root, rust_files, tracked_files};

/// A file longer than this holds two ideas.
const LINES_MAX: usize = 700;

fn report(title: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{title}:\n  {}", wrong.join("\n  "));
}

#[test]
fn every_file_says_why_it_exists() {
    let headless = rust_files().unwrap().into_iter().filter(|(_, text)| !text.starts_with("//!"));
    report(
        "these files do not start with //!",
        &headless.map(|(path, _)| path.display().to_string()).collect::<Vec<_>>(),
    );
}

#[test]
fn modules_are_files_of_their_name() {
    let found = rust_files().unwrap().into_iter().filter(|(path, _)| path.ends_with("mod.rs"));
    report("name.rs and name/, never mod.rs", &found.map(|(path, _)| path.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn files_stay_readable() {
    let long = rust_files().unwrap().into_iter().map(|(path, text)| (path, text.lines().count()));
    let long =
        long.filter(|(_, lines)| *lines > LINES_MAX).map(|(path, lines)| format!("{} has {lines}", path.display()));
    report(&format!("longer than {LINES_MAX} lines: split by idea"), &long.collect::<Vec<_>>());
}

/// Where a thing was built is nobody's business, and true on one machine only.
#[test]
fn no_file_names_a_machine() {
    // In pieces, so that this file does not find itself.
    let paths = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let mut wrong = Vec::new();
    for path in tracked_files().unwrap() {
        // Binary files hold no sentences.
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if paths.iter().any(|machine| starts_word(line, machine)) {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    report("paths of one machine", &wrong);
}

/// A path begins a word: `https://host/home/page` is none.
fn starts_word(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "}-_./)".contains(c)))
}

/// Only `runtime::clock` asks the machine for the time; tests, benches and tools measure as they like.
#[test]
fn time_comes_through_the_clock() {
    let banned = [concat!("System", "Time::now"), concat!("Inst", "ant::now")];
    let mut wrong = Vec::new();
    for (path, text) in rust_files().unwrap() {
        let name = path.display().to_string();
        let exempt = [
            "/tests",
            "/benches/",
            "/examples/",
            "crates/loadgen/",
            "crates/testkit/",
            "integration-tests/",
            "runtime/src/clock.rs",
        ];
        if exempt.iter().any(|part| name.contains(part)) || name.starts_with("integration-tests") {
            continue;
        }
        // Unit tests stand at the end of a file.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let found = lines.filter(|(_, line)| banned.iter().any(|call| line.contains(call)));
        wrong.extend(found.map(|(number, line)| format!("{name}:{}: {}", number + 1, line.trim())));
    }
    report("take a runtime::clock::Clock instead", &wrong);
}
