//! Tells the code which git revision it is. `FLAMELAKE_REVISION` wins; without it and without git the revision is empty.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=FLAMELAKE_REVISION");
    println!("cargo::rerun-if-env-changed=FLAMELAKE_BRANCH");
    // Not re-run on every commit: releases set the variables.
    println!("cargo::rerun-if-changed=build.rs");
    let revision = told("FLAMELAKE_REVISION").or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    let branch = told("FLAMELAKE_BRANCH").or_else(|| git(&["rev-parse", "--abbrev-ref", "HEAD"]));
    println!("cargo::rustc-env=FLAMELAKE_BUILD_REVISION={}", revision.unwrap_or_default());
    println!("cargo::rustc-env=FLAMELAKE_BUILD_BRANCH={}", branch.unwrap_or_default());
}

fn told(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
