//! Mutated binaries: an error or a table, never a panic.

use std::process::Command;

use flamelake_debuginfo::{build_id_of, convert};
use flamelake_testkit::fuzz;

const SOURCE: &str = "static inline __attribute__((always_inline)) long in(long x) { return x * 31 ^ x >> 3; }\n\
                      long out(long x) { long s = 0; for (long i = 0; i < x; i++) s += in(i); return s; }\n\
                      void _start(void) { for (;;) out(7); }\n";
/// Debug sections of a mutated file may unpack to so much.
const UNPACKED_BYTES_MAX: u64 = 16 << 20;

/// A small program as a compiler writes it, plain and with compressed sections. `None`: there is no compiler.
fn compiled() -> Option<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("small.c"), SOURCE).unwrap();
    let build = |flag: &str| {
        let flags =
            ["-g", "-O2", "-nostdlib", "-static", "-Wl,--build-id", "-Wl,-z,noseparate-code", flag, "-o", "small"];
        let status = Command::new("gcc").args(flags).arg("small.c").current_dir(folder.path()).status();
        status.is_ok_and(|status| status.success()).then(|| std::fs::read(folder.path().join("small")).unwrap())
    };
    ["-gz=none", "-gz=zlib"].map(build).into_iter().collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn fuzz_binaries() {
    let Some(corpus) = compiled() else {
        eprintln!("SKIPPED fuzz_binaries: no gcc");
        return;
    };
    let id = build_id_of(&corpus[0]).unwrap().unwrap();
    assert!(convert(&corpus[0], &id, UNPACKED_BYTES_MAX).unwrap().rows > 5);
    let mut good = 0;
    fuzz::run("fuzz_binaries", &corpus, |file| {
        let id = build_id_of(file).ok().flatten().unwrap_or_default();
        good += usize::from(convert(file, &id, UNPACKED_BYTES_MAX).is_ok());
    });
    assert!(good > 100, "only {good} of the mutated files gave a table: the target asks too little");
}
