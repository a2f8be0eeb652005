//! Go profiles: type arguments out of names, truncated stacks completed.

use flamelake_pprof::{Decoder, Language};
use flamelake_testkit::ProfileBuilder;

use crate::support::{cpu_series, frames_with, limits, series, text};

fn go_series() -> Vec<(String, String)> {
    series(&[("__name__", "process_cpu"), ("service_name", "s"), ("pyroscope_spy", "gospy")])
}

fn fixed(profile: ProfileBuilder) -> String {
    text(&frames_with(&profile.plain(), &go_series(), &limits()).unwrap()[0])
}

#[test]
fn language_is_told_by_spy_then_by_texts() {
    let of = |texts: &[&str], spy: &str| {
        let profile = texts.iter().fold(ProfileBuilder::new(&[("c", "u")]).file(""), |p, text| p.extra_string(text));
        let mut decoder = Decoder::new();
        // The builder's own "main.go" would always say Go.
        let bytes = profile.plain();
        let at = bytes.windows(7).position(|w| w == b"main.go").unwrap();
        let bytes = [&bytes[..at], b"main.xx", &bytes[at + 7..]].concat();
        decoder.decode(&bytes, 0).unwrap();
        decoder.language(&series(&[("pyroscope_spy", spy)]))
    };
    assert_eq!(of(&["x.py", "y.go"], ""), Language::Python);
    assert_eq!(of(&["/usr/local/go/src"], "unheard of"), Language::Go);
    assert_eq!(of(&["y.go"], "rbspy"), Language::Ruby);
    assert_eq!(of(&["java/lang"], ""), Language::Java);
    assert_eq!(of(&["a", "src/main.rs"], ""), Language::Rust);
    assert_eq!(of(&["a.jsx", "System.String"], ""), Language::Dotnet);
    assert_eq!(of(&[], ""), Language::Unknown);
    assert_eq!(of(&[], "phpspy"), Language::Php);
}

#[test]
fn type_parameters_are_removed() {
    for (name, clean) in [
        ("(*Client[go.shape.X]).Call", "(*Client).Call"),
        ("f[go.shape.struct { a [4]int, b map[string]int }].func1", "f.func1"),
        ("f[go.shape.int,go.shape.[]uint8]", "f"),
        ("f[go.shape.a].g[go.shape.b]", "f.g"),
        ("f[go.shape.a", "f[go.shape.a"),
        ("f[go.shape.a].g[go.shape.b", "f.g[go.shape.b"),
        ("f[int]", "f[int]"),
        ("f[...]", "f[...]"),
        ("[go.shape.int]", ""),
    ] {
        assert_eq!(fixed(ProfileBuilder::cpu().folded(&format!("main;{}@0x1 1", name.replace(' ', "\u{a0}")))), {
            format!("main;{clean} 1")
        });
    }
}

#[test]
fn what_becomes_equal_is_merged() {
    let profile = ProfileBuilder::cpu().folded("main;f[go.shape.int];x 1\nmain;f[go.shape.string];x 2\nmain;f 4");
    let frames = frames_with(&profile.plain(), &go_series(), &limits()).unwrap();
    assert_eq!(text(&frames[0]), "main;f 4\nmain;f;x 3");
    assert_eq!((frames[0].functions.len(), frames[0].locations.len()), (3, 3));
}

#[test]
fn other_languages_are_left_alone() {
    let profile = ProfileBuilder::cpu().folded("main;f[go.shape.int] 1");
    let series = [cpu_series(), series(&[("pyroscope_spy", "rbspy")])].concat();
    let frames = frames_with(&profile.plain(), &series, &limits()).unwrap();
    assert_eq!(text(&frames[0]), "main;f[go.shape.int] 1");
}

/// `f10;f9;…;f1`: frames `from` (root) down to `to` (leaf).
fn chain(from: usize, to: usize) -> String {
    (to..=from).rev().map(|at| format!("f{at}")).collect::<Vec<_>>().join(";")
}

fn heap(stacks: &[(String, i64)]) -> ProfileBuilder {
    stacks.iter().fold(ProfileBuilder::new(&[("inuse_space", "bytes")]), |profile, (stack, value)| {
        profile.stack(stack, &[*value])
    })
}

#[test]
fn a_truncated_heap_stack_is_completed() {
    // f34 is the root. The first stack is whole; the second lost f34..f33 at the root because it is two deeper at the leaf.
    let whole = format!("{};f3", chain(34, 4));
    let cut = chain(32, 1);
    assert_eq!(whole.split(';').count(), 32);
    let expected = format!("{} 2", chain(34, 1));
    let found = fixed(heap(&[(whole.clone(), 1), (cut, 2)]));
    assert!(found.contains(&expected) && found.contains(&format!("{whole} 1")), "{found}");
}

#[test]
fn chains_of_truncation_are_followed() {
    let stacks: Vec<(String, i64)> =
        [(40, 9), (36, 5), (32, 1)].iter().map(|(root, leaf)| (chain(*root, *leaf), 1 << leaf)).collect();
    let found = fixed(heap(&stacks));
    for (_, leaf) in [(40, 9), (36, 5), (32, 1)] {
        assert!(found.contains(&format!("{} {}", chain(40, leaf), 1 << leaf)), "{leaf}: {found}");
    }
}

#[test]
fn completed_stacks_may_become_equal() {
    let whole = chain(33, 2);
    let cut = chain(32, 2);
    assert_eq!(fixed(heap(&[(whole.clone(), 1), (cut, 2)])), format!("{whole} 3"));
}

#[test]
fn profiles_without_deep_stacks_are_no_candidates() {
    let stacks = [(chain(27, 2), 1), (chain(26, 2), 2)];
    assert!(fixed(heap(&stacks)).contains(&format!("{} 2", chain(26, 2))));
    // Deeper than a heap profile is ever cut: nothing was cut.
    let stacks = [(chain(40, 8), 1), (chain(39, 8), 2)];
    assert!(fixed(heap(&stacks)).contains(&format!("{} 2", chain(39, 8))));
    // CPU profiles are cut at 64.
    let cpu = |stack: String| ProfileBuilder::cpu().stack(&stack, &[1]).stack(&chain(40, 2), &[2]);
    assert!(fixed(cpu(chain(41, 2))).contains(&format!("{} 2", chain(40, 2))));
    assert!(fixed(cpu(format!("{};{}", chain(41, 2), chain(130, 105)))).contains(&format!("{} 2", chain(41, 2))));
}
