//! Formats as input → stacks, and a fuzz target for each decoder.

use flamelake_config::Limits;
use flamelake_pprof::frame::Frame;
use flamelake_pprof::{Decoder, ProfileLimits, Tables};
use flamelake_testkit::fuzz;

use super::app_name::AppName;
use super::stacks::Stacks;
use super::text_type::TextType;
use super::{DecodeLimits, Refused, Source, folded, jfr, pprof, speedscope, tree};
use crate::PushSeries;

pub(crate) fn source(name: &str) -> Source {
    let app = AppName::parse(name).unwrap();
    Source { app, from_ns: 1_795_359_600_000_000_000, until_ns: 0, sample_rate: 100, spy: "unknown".to_owned() }
}

pub(crate) fn limits() -> DecodeLimits {
    DecodeLimits::from(&Limits::default())
}

fn small() -> DecodeLimits {
    DecodeLimits { bytes_max: 1000, samples_max: 3, depth_max: 2, name_bytes_max: 4 }
}

/// Frames of a series, through the whole decoder of pprof.
pub(crate) fn frames(series: &PushSeries) -> Vec<Frame> {
    let limits = ProfileLimits { now_ns: 1_795_359_600_000_000_000, ..ProfileLimits::default() };
    let id = flamelake_model::ProfileId([1; 16]);
    let pprof = series.profiles[0].content.clone().into_pprof();
    Decoder::new().frames(&pprof, &series.labels, &limits, id).unwrap()
}

fn label<'a>(series: &'a PushSeries, name: &str) -> &'a str {
    crate::labels::get(&series.labels, name)
}

/// Bytes of the message that hold a text: good enough to see what was written.
fn pprof_of(stacks: Result<Stacks, Refused>) -> Result<usize, Refused> {
    let source = source("a.cpu");
    let (_, kind) = TextType::of("a.cpu")?;
    let (head, factor) = kind.head(&source, source.period_ns());
    Ok(stacks?.into_tables(&head, factor)?.map_or(0, |tables| tables.bytes()))
}

fn same(a: Result<Stacks, Refused>, b: Result<Stacks, Refused>) {
    let pprof = |stacks: Result<Stacks, Refused>| {
        let source = source("a.cpu");
        let (head, factor) = TextType::of("a.cpu").unwrap().1.head(&source, source.period_ns());
        stacks.unwrap().into_tables(&head, factor).unwrap().unwrap().encode()
    };
    assert_eq!(pprof(a), pprof(b));
}

const TREE: &[u8] = &[0, 0, 1, 1, b'a', 0, 2, 1, b'b', 1, 0, 1, b'c', 2, 0];
const TRIE: &[u8] = &[0, 0, 1, 4, b'a', b'b', b';', b'x', 0, 2, 1, b'c', 1, 0, 1, b'd', 2, 0];

#[test]
fn four_formats_say_the_same() {
    let limits = limits();
    same(folded::groups(b"a;b 1\na;c 1\nnothing\r\n\na;c 1\n", limits), tree::tree(TREE, limits));
    same(folded::each_line(b"a;b\n\na;c\r\na;c", limits), tree::tree(TREE, limits));
    same(folded::groups(b"ab;xc 1\nab;xd 2", limits), tree::trie(TRIE, limits));
}

#[test]
fn bad_texts_and_trees_are_told() {
    let text = |stacks: Result<Stacks, Refused>| stacks.unwrap_err().to_string();
    let limits = limits();
    let count = "line 2: \"x\" is no count; write a whole number after the last space";
    assert_eq!(text(folded::groups(b"a 1\na x", limits)), count);
    assert_eq!(text(tree::tree(&[0, 0, 1], limits)), "the body is no tree: a varint is cut short");
    let huge = [&[0xff; 9][..], &[1]].concat();
    assert!(text(tree::tree(&huge, limits)).starts_with("tree node name length 18446744073709551615 exceeds maximum"));
    assert!(tree::trie(&huge, limits).is_err());
    assert_eq!(text(tree::tree(&[0, 0, 4], small())), "tree node children count 4 exceeds maximum 3");
    assert!(tree::trie(&TRIE[..7], limits).is_err());
    assert!(text(folded::each_line(&[b'a'; 70_000], limits)).contains("is longer than"));
}

#[test]
fn what_a_body_grows_to_is_bounded() {
    let reason = |stacks: Result<Stacks, Refused>| stacks.unwrap_err().reason().name();
    assert_eq!(reason(folded::groups(b"a 1\nb 1\nc 1\nd 1", small())), "samples_limit");
    assert_eq!(
        reason(folded::groups(&[b'a'; 2000].iter().copied().chain(*b" 1").collect::<Vec<_>>(), small())),
        "profile_size_limit"
    );
    // Leaf frames past the depth are cut, so these are one stack.
    assert!(pprof_of(folded::groups(b"a;b;c 1\na;b;d 1\na;b;e 1\na;b;f 1", small())).is_ok());
}

#[test]
fn a_text_becomes_a_series_that_the_push_path_takes() {
    let source = source("my.app.inuse_space{env=dev,__x__=y,__session_id__=1}");
    let (service, kind) = TextType::of(&source.app.app).unwrap();
    let (head, factor) = kind.head(&source, source.period_ns());
    let tables = folded::groups(b"a;b 5", limits()).unwrap().into_tables(&head, factor).unwrap().unwrap();
    let series = source.series_of_app(service, kind.name, &[], tables);
    assert_eq!(label(&series, "service_name"), "my.app");
    assert_eq!((label(&series, "__name__"), label(&series, "env"), label(&series, "__x__")), ("memory", "dev", ""));
    assert_eq!((label(&series, "__session_id__"), label(&series, "app_name")), ("1", ""));
    assert_eq!(frames(&series).len(), 1);
}

#[test]
fn the_clients_own_service_name_wins() {
    let series = source("my.app{service_name=s}").series_of_app("my.app", "memory", &[], Tables::default());
    assert_eq!((label(&series, "service_name"), label(&series, "app_name")), ("s", "my.app"));
}

const SPEEDSCOPE: &str = r#"{"$schema":"https://www.speedscope.app/file-format-schema.json","shared":{"frames":[{"name":"a"},{"name":"b"}]},
"profiles":[{"type":"evented","name":"p","unit":"seconds","startValue":0,"endValue":3,"events":[{"type":"O","at":0,"frame":0},
{"type":"O","at":1,"frame":1},{"type":"C","at":2,"frame":1},{"type":"C","at":3,"frame":0}]},
{"type":"sampled","name":"q","unit":"bytes","startValue":0,"endValue":2,"samples":[[0],[0,1]],"weights":[1,2]}]}"#;

#[test]
fn speedscope_profiles_are_series() {
    let series = speedscope::series(SPEEDSCOPE.as_bytes(), &source("x.cpu"), limits()).unwrap();
    let seen: Vec<_> =
        series.iter().map(|s| (label(s, "__name__"), label(s, "service_name"), label(s, "profile_name"))).collect();
    assert_eq!(seen, [("wall", "x.cpu", "p"), ("memory", "x.cpu", "q")]);
    assert!(series.iter().all(|series| frames(series).len() == 1));
    for (from, to) in [
        ("\"frame\":1}", "\"frame\":2}"),
        ("[0,1]", "[0,9]"),
        ("\"weights\":[1,2]", "\"weights\":[1]"),
        ("\"weights\":[1,2]", "\"weights\":[1,-2]"),
        ("\"at\":2", "\"at\":0.5"),
        ("file-format-schema", "other"),
        ("\"sampled\"", "\"guessed\""),
        ("\"bytes\"", "\"horses\""),
    ] {
        let broken = SPEEDSCOPE.replacen(from, to, 1);
        assert!(speedscope::series(broken.as_bytes(), &source("x.cpu"), limits()).is_err(), "{from} → {to}");
    }
}

fn cpu() -> Vec<u8> {
    flamelake_testkit::ProfileBuilder::cpu().stack("a;b", &[1]).plain()
}

#[test]
fn a_pprof_without_time_takes_that_of_the_query() {
    let series = pprof::series(&cpu(), None, &source("my.app"), limits()).unwrap().unwrap();
    assert_eq!((label(&series, "__name__"), label(&series, "service_name")), ("process_cpu", "my.app"));
    assert_eq!(frames(&series).len(), 1);
    assert!(pprof::series(b"", None, &source("my.app"), limits()).unwrap().is_none());
    assert!(pprof::series(b"no pprof", None, &source("my.app"), limits()).is_err());
    let bomb = flamelake_testkit::profile::gzip(&vec![0; 8 << 20], 9);
    assert_eq!(pprof::series(&bomb, None, &source("a"), limits()).unwrap_err().reason().name(), "profile_size_limit");
}

#[test]
fn a_config_names_the_profile() {
    let types = pprof::sample_types(br#"{"cpu":{"units":"goroutines","display-name":"goroutines"}}"#).unwrap();
    let series = pprof::series(&cpu(), Some(&types), &source("a"), limits()).unwrap().unwrap();
    assert_eq!(label(&series, "__name__"), "goroutines");
    assert!(pprof::sample_types(b"[1").is_err());
}

fn spied(spy: &str) -> Source {
    Source { spy: spy.to_owned(), ..source("a.b") }
}

#[test]
fn fuzz_folded() {
    fuzz::run("folded", &[b"a;b 1\na;c 2\n\nx\n".to_vec()], |input| {
        let _ = pprof_of(folded::groups(input, limits()));
        let _ = pprof_of(folded::each_line(input, small()));
    });
}

#[test]
fn fuzz_tree() {
    fuzz::run("tree", &[TREE.to_vec()], |input| {
        let _ = pprof_of(tree::tree(input, limits()));
        let _ = pprof_of(tree::tree(input, small()));
    });
}

#[test]
fn fuzz_trie() {
    fuzz::run("trie", &[TRIE.to_vec()], |input| {
        let _ = pprof_of(tree::trie(input, limits()));
        let _ = pprof_of(tree::trie(input, small()));
    });
}

#[test]
fn fuzz_speedscope() {
    fuzz::run("speedscope", &[SPEEDSCOPE.as_bytes().to_vec()], |input| {
        let _ = speedscope::series(input, &source("x.cpu"), limits());
    });
}

#[test]
fn fuzz_pprof_repairs() {
    let types = pprof::sample_types(br#"{"inuse-space":{}}"#).unwrap();
    fuzz::run("pprof_repairs", &[cpu()], |input| {
        for spy in ["pyspy", "rbspy", "dotnetspy", "unknown"] {
            let _ = pprof::series(input, Some(&types), &spied(spy), limits());
        }
    });
}

#[test]
fn fuzz_jfr() {
    fuzz::run("jfr", &[jfr::fixture::recording()], |input| {
        let _ = jfr::series(input, None, &source("a"), limits());
    });
}

#[test]
fn fuzz_labels_snapshot() {
    fuzz::run("labels_snapshot", &[jfr::fixture::LABELS.to_vec()], |input| {
        let _ = jfr::LabelsSnapshot::parse(input);
    });
}
