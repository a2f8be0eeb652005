//! The crate as its users see it: documents and flags in, typed values or an error text out.

#![allow(unreachable_pub, reason = "the macro makes public structs")]

use std::time::Duration;

use crate::{ByteSize, Environment, Flags, Limits, LimitsSource, Secret, Section, Show, TenantLimits, Values};

crate::section! {
    /// Oven: bakes things.
    pub struct Oven {
        /// How long. 0 = until somebody looks.
        "oven.bake-time" => pub bake_time: Duration = Duration::from_secs(5400),
        /// How much fits in.
        "oven.room" | "room" => pub room: ByteSize = ByteSize(64 << 20),
        /// Hot air.
        "oven.fan-enabled" => pub fan_enabled: bool = false,
        /// Plates.
        "oven.plates" => pub plates: u16 = 4,
        /// What goes in.
        "oven.dishes" => pub dishes: Vec<String> = Vec::new(),
        /// Opens the door.
        "oven.door-code" => pub door_code: Secret = Secret::default(),
        nested {
            /// What holds for everybody.
            pub limits: Limits,
        }
    }
}

fn values(yaml: &str, flags: &[&str]) -> Result<Values, String> {
    let mut values = Values::new(Oven::keys());
    let environment = Environment::Table([("TIME".to_owned(), "3m".to_owned())].into());
    let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
    values.add_yaml(yaml, "oven.yaml", &environment).map_err(|error| error.to_string())?;
    let flags = Flags::parse(&flags, &Oven::keys()).map_err(|error| error.to_string())?;
    values.add_flags(flags).map_err(|error| error.to_string())?;
    Ok(values)
}

fn load(yaml: &str, flags: &[&str]) -> Result<Oven, String> {
    Oven::load(&mut values(yaml, flags)?).map_err(|error| error.to_string())
}

#[test]
fn nothing_given_is_the_default() {
    assert_eq!(load("", &[]).unwrap(), Oven::default());
    assert_eq!(load("oven:\n", &[]).unwrap(), Oven::default());
}

#[test]
fn flags_beat_the_file() {
    let oven = load("oven: {bake_time: 1h, plates: 2}", &["-oven.bake-time=2h"]).unwrap();
    assert_eq!((oven.bake_time, oven.plates), (Duration::from_secs(7200), 2));
}

#[test]
fn keys_are_written_in_many_ways() {
    for yaml in ["oven: {bake-time: 3m}", "oven: {bake_time: 3m}", "oven.bake-time: 3m", "oven: {bake-time: '${TIME}'}"]
    {
        assert_eq!(load(yaml, &[]).unwrap().bake_time, Duration::from_secs(180), "{yaml}");
    }
    for flags in
        [&["-oven.bake-time=3m"][..], &["--oven.bake_time=3m"], &["--oven.bake-time", "3m"], &["-oven.bake-time", "3m"]]
    {
        assert_eq!(load("", flags).unwrap().bake_time, Duration::from_secs(180), "{flags:?}");
    }
    assert_eq!(load("room: 1KiB", &[]).unwrap().room, ByteSize(1024));
    assert_eq!(load("oven: {dishes: [a, b]}", &[]).unwrap().dishes, ["a", "b"]);
    assert_eq!(load("", &["-oven.dishes=a, b"]).unwrap().dishes, ["a", "b"]);
}

#[test]
fn a_boolean_flag_may_stand_alone() {
    for (flags, expected) in [
        (&["--oven.fan-enabled"][..], true),
        (&["--oven.fan-enabled=false"], false),
        (&["--oven.fan-enabled", "false"], false),
        (&["--oven.fan-enabled", "--oven.plates=3"], true),
    ] {
        assert_eq!(load("", flags).unwrap().fan_enabled, expected, "{flags:?}");
    }
}

#[test]
fn limits_have_their_short_names() {
    let oven = load("limits: {max_profile_size_bytes: 7, reject-older-than: 0}", &["-retention-period=7d"]).unwrap();
    assert_eq!(oven.limits.max_profile_size_bytes, 7);
    assert_eq!(oven.limits.reject_older_than, Duration::ZERO);
    assert_eq!(oven.limits.retention_period, Duration::from_secs(7 * 86_400));
    assert_eq!(load("", &["-validation.max-profile-size-bytes=9"]).unwrap().limits.max_profile_size_bytes, 9);
}

#[test]
fn errors_say_what_where_and_what_instead() {
    let check = |yaml: &str, flags: &[&str], expected: &str| assert_eq!(load(yaml, flags).unwrap_err(), expected);
    check("oven: {bake-tim: 1h}", &[], "unknown key oven.bake-tim in oven.yaml; did you mean oven.bake-time?");
    check("", &["--plates=1"], "unknown key plates in flag --plates; did you mean oven.plates?");
    check("zzz: 1", &[], "unknown key zzz in oven.yaml; see --help for the keys that exist");
    check(
        "oven: {bake-time: 5}",
        &[],
        "oven.bake-time is \"5\" in oven.yaml, expected a duration such as 1h30m, 7d, 1.5h, 500ms or 0",
    );
    check(
        "",
        &["-oven.plates=many"],
        "oven.plates is \"many\" in flag --oven.plates, expected a whole number from 0 to 65535",
    );
    check("", &["-oven.plates"], "flag --oven.plates needs a value: --oven.plates=number");
    check("", &["plates"], "\"plates\" is not a flag; flags are written --key=value, see --help");
    check("room: 1\noven: {room: 2}", &[], "oven.room is given twice in oven.yaml: as room and as oven.room; keep one");
    check("oven: [1]", &[], "unknown key oven in oven.yaml; did you mean oven.room?");
    check(
        "oven: {plates: '${NONE}'}",
        &[],
        "oven.plates in oven.yaml needs the environment variable NONE, which is not set; set it or write ${NONE:default}",
    );
    check("- 1", &[], "the document in oven.yaml is a list, expected a block of keys");
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let folder = std::env::temp_dir().join(format!("flamelake-config-{}", std::process::id()));
    std::fs::write(&folder, "canary\n").unwrap();
    let yaml = format!("oven: {{door_code_file: '{}'}}", folder.display());
    let values = values(&yaml, &[]).unwrap();
    let oven = Oven::load(&mut values.clone()).unwrap();
    std::fs::remove_file(&folder).unwrap();
    assert_eq!(oven.door_code.expose(), "canary");
    let shown = [format!("{oven:?}"), format!("{values:?}"), crate::show(&oven, &values, Show::All)].concat();
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("********"));
}

#[test]
fn what_is_shown_can_be_given_again() {
    let given = values("oven: {bake_time: '${TIME}', dishes: [a, b], room: 1GiB}", &["--oven.fan-enabled"]).unwrap();
    let oven = Oven::load(&mut given.clone()).unwrap();
    let diff = crate::show(&oven, &given, Show::Diff);
    assert_eq!(diff, "oven:\n  bake-time: ${TIME}\n  room: 1GiB\n  fan-enabled: true\n  dishes:\n  - a\n  - b\n");
    assert_eq!(load(&diff, &[]).unwrap(), oven);
    assert_eq!(load(&crate::show(&oven, &given, Show::All), &[]).unwrap(), oven);
    assert_eq!(load(&crate::show(&oven, &given, Show::Defaults), &[]).unwrap(), Oven::default());
}

#[test]
fn keys_document_themselves() {
    let help = crate::help(&Oven::keys(), 80);
    assert!(help.starts_with(
        "Oven\n  Bakes things.\n  --oven.bake-time duration (default 1h30m)\n        How long. 0 = until somebody looks.\n"
    ), "{help}");
    let page = crate::markdown(&Oven::keys());
    assert!(page.contains("| `oven.room` | size | `64MiB` | How much fits in. Also `room`. |"), "{page}");
    assert!(page.contains(
        "| `oven.door-code` | secret |  | Opens the door. Or `oven.door-code-file`: a file that holds it. |"
    ));
}

#[test]
fn overrides_start_from_the_defaults_and_a_bad_file_keeps_the_last() {
    let file = std::env::temp_dir().join(format!("flamelake-overrides-{}.yaml", std::process::id()));
    let limits_of =
        |limits: &TenantLimits, tenant: &str| limits.for_tenant(&flamelake_model::TenantId::parse(tenant).unwrap());
    std::fs::write(&file, "overrides:\n  a: {max_query_length: 2d}\n  7: {ingestion_rate_mb: 8}\n").unwrap();
    let defaults = Limits { max_profile_size_bytes: 5, ..Limits::default() };
    let limits = TenantLimits::open(defaults.clone(), Some(file.clone())).unwrap();
    assert_eq!(*limits_of(&limits, "b"), defaults);
    assert_eq!(*limits_of(&limits, "a"), Limits { max_query_length: Duration::from_secs(172_800), ..defaults.clone() });
    assert_eq!(limits_of(&limits, "7").ingestion_rate_mb, 8.0);
    assert!(!limits.reload().unwrap(), "nothing changed");

    std::fs::write(&file, "overrides: {a: {max_query_lenght: 1d}}").unwrap();
    let error = limits.reload().unwrap_err().to_string();
    assert!(error.contains("did you mean") && error.contains("overrides of a"), "{error}");
    assert_eq!(limits_of(&limits, "a").max_query_length, Duration::from_secs(172_800));
    assert!(limits.reload().is_err(), "bad until it is good");

    std::fs::write(&file, "overrides: {}").unwrap();
    assert!(limits.reload().unwrap());
    assert_eq!(*limits_of(&limits, "a"), defaults);
    std::fs::remove_file(&file).unwrap();
    assert!(limits.reload().is_err());
}
