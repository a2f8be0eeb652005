//! Puts the files of `web/dist` into the binary. Without them (no `make web` yet) the list is empty, and never an error.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let variable = |name| env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(name));
    let dist = variable("CARGO_MANIFEST_DIR")?.join("../../web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    // The folder is kept in git, so that this does not run again and again where it would be missing.
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut list = String::from("&[\n");
    let mut paths = Vec::new();
    if dist.join("index.html").is_file() {
        collect(&dist, &mut paths)?;
    }
    paths.sort();
    for path in &paths {
        let name = path.strip_prefix(&dist).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
        let zipped = path.with_file_name(format!("{}.gz", path.file_name().unwrap_or_default().to_string_lossy()));
        let zipped = match zipped.is_file() {
            true => format!("Some(include_bytes!({zipped:?}))"),
            false => "None".to_owned(),
        };
        let hash = fnv(&fs::read(path)?);
        writeln!(
            list,
            "File {{ path: {name:?}, hash: \"{hash:016x}\", plain: include_bytes!({path:?}), zipped: {zipped} }},"
        )
        .map_err(io::Error::other)?;
    }
    list.push(']');
    fs::write(variable("OUT_DIR")?.join("files.rs"), list)
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_dir() {
            collect(&path, paths)?;
        } else if !hidden && path.extension().is_none_or(|extension| extension != "gz") {
            paths.push(path);
        }
    }
    Ok(())
}

/// FNV-1a: tells two builds apart, nothing more.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
