//! The binary as a person meets it: help, configuration, errors, and the page of all keys.

use std::path::PathBuf;
use std::process::{Command, Output};

fn flamelake(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flamelake")).args(arguments).output().expect("the binary is built with its tests")
}

fn stdout(arguments: &[&str]) -> String {
    let output = flamelake(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn stderr(arguments: &[&str]) -> String {
    let output = flamelake(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

const PAGE_HEAD: &str = "\
# Configuration

Generated from the doc comments of the keys; `UPDATE_GOLDEN=1 cargo test -p flamelake --test command_line` writes it anew.

One YAML file (`--config.file=flamelake.yaml`) and flags; flags win. Every key can stand in both: as a flag with one or two dashes
(`-server.http-listen-port=4040`), in YAML with dots as levels, `-` and `_` being the same:

```yaml
server:
  http_listen_port: 4040
storage:
  filesystem:
    dir: ${DATA_DIR:/var/lib/flamelake}
limits:
  retention_period: 30d
```

`${VAR}` and `${VAR:default}` are replaced in values; a variable without default that is not set is an error, `$${` is a plain `${`.
Durations are written `1h30m`, `7d`, `500ms`; sizes `64MiB` (1024) or `64MB` (1000); lists with commas, or as YAML lists.
Unknown keys are errors. `--config.check` checks, `--config.show` prints the result without secrets, `/config?mode=diff` tells what
differs from the defaults.

";

/// Asked when the test runs: a build folder may serve several checkouts.
fn package_dir() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| ".".into(), PathBuf::from)
}

#[test]
fn the_page_of_keys_is_up_to_date() {
    let page = package_dir().join("../../docs/configuration.md");
    let expected = format!("{PAGE_HEAD}{}\n", stdout(&["--config.docs"]).trim_end());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(page.parent().unwrap()).unwrap();
        std::fs::write(&page, &expected).unwrap();
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(written == expected, "docs/configuration.md is old; UPDATE_GOLDEN=1 writes it anew");
}

#[test]
fn help_lists_every_key() {
    let help = stdout(&["--help"]);
    for key in
        ["--target", "--server.http-listen-port", "--storage.filesystem.dir", "--retention-period", "--log.level"]
    {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(&format!("{key} "))),
            "{key} is missing in\n{help}"
        );
    }
    assert_eq!(stdout(&["-h"]), help);
    assert!(stdout(&["--version"]).starts_with("flamelake "));
    assert!(stdout(&["query", "--help"]).contains("flamegraph"));
}

/// The flags of the golden scenarios and of existing manifests.
#[test]
fn flags_of_manifests_are_taken() {
    stdout(&[
        "--config.check",
        "-target=all",
        "-auth.multitenancy-enabled=true",
        "-validation.reject-older-than=0",
        "-validation.reject-newer-than=0",
        "-querier.max-query-lookback=0",
        "-querier.max-query-length=0",
        "-retention-period=0",
        "-distributor.ingestion-rate-limit-mb=1000",
        "-distributor.ingestion-burst-size-mb=2000",
        "-log.format=json",
        "-config.expand-env=true",
    ]);
}

#[test]
fn the_resolved_configuration_can_be_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flamelake.yaml");
    let shown = stdout(&["--config.show", "--server.http-listen-port=1234", "--validation.max-profile-size-bytes=7"]);
    assert!(shown.contains("http-listen-port: 1234"), "{shown}");
    std::fs::write(&file, &shown).unwrap();
    let again = stdout(&["--config.show", &format!("--config.file={}", file.display())]);
    assert_eq!(again, shown);
}

#[test]
fn errors_name_the_right_key() {
    let text = stderr(&["--server.http-listen-prot=1"]);
    assert!(text.contains("did you mean server.http-listen-port?"), "{text}");
    let text = stderr(&["--config.check", "--retention-period=5"]);
    assert!(text.contains("retention-period") && text.contains("1h30m"), "{text}");
    let text = stderr(&["--config.file=no/such/file.yaml"]);
    assert!(text.contains("no/such/file.yaml"), "{text}");
    let text = stderr(&["--config.check", "--runtime-config.file=no/such/limits.yaml"]);
    assert!(text.contains("no/such/limits.yaml"), "{text}");
    let text = stderr(&["--config.check", "--target=ingester"]);
    assert!(text.contains("set ring.etcd.endpoints"), "{text}");
    let text = stderr(&["--target=ingester"]);
    assert!(text.contains("set ring.etcd.endpoints"), "{text}");
}
