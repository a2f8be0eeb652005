//! Profiles of addresses: pushed before the binary is uploaded, shown with the names that `addr2line -i` gives afterwards; for C, C++, Rust and Go, with
//! debug information, with symbols only, and with a separate debug file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use flamelake_api::google::v1 as pprof;
use flamelake_api::querier::v1::SelectMergeProfileRequest;
use flamelake_integration_tests::answers::{CPU, Range};
use flamelake_integration_tests::pushes::push;
use flamelake_integration_tests::server::binary;
use flamelake_integration_tests::{Protocol, Server, ServerOptions, now_ns, push_request, skip};
use prost::Message as _;
use serde_json::{Value, json};

/// Of one binary, spread over its functions.
const ADDRESSES: usize = 300;

/// Linker's name, base name of the file, line; innermost first.
pub(crate) type Frames = Vec<(String, String, i64)>;

fn run(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str], folder: &Path) -> anyhow::Result<String> {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.with_context(|| program.display().to_string())?;
    let told = format!("{program:?} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{told}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn sources() -> PathBuf {
    flamelake_testkit::package_dir().join("clients/native")
}

pub(crate) fn build_id(file: &Path) -> anyhow::Result<String> {
    let notes = run("readelf", &["-n", &file.display().to_string()], Path::new("/"))?;
    let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
    Ok(id.context("no build id")?.to_owned())
}

/// Addresses in the functions of the program's own code.
pub(crate) fn addresses(file: &Path, own: &str) -> anyhow::Result<Vec<u64>> {
    let listed = run("nm", &["--defined-only", "-S", &file.display().to_string()], Path::new("/"))?;
    let mut out = Vec::new();
    for line in listed.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [start, bytes, kind, name] = fields[..] else { continue };
        if "tTW".contains(kind) && name.contains(own) {
            let (start, bytes) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(bytes, 16)?);
            out.extend((start..start + bytes).step_by(5));
        }
    }
    ensure!(!out.is_empty(), "no function of {own} in {}", file.display());
    let step = out.len().div_ceil(ADDRESSES);
    Ok(out.into_iter().step_by(step).collect())
}

/// What binutils say: a line of a name and a line of a place for each frame; an address with `0x` begins the next one.
fn addr2line(file: &Path, addresses: &[u64]) -> anyhow::Result<BTreeMap<u64, Frames>> {
    let mut arguments =
        vec!["-a".to_owned(), "-i".to_owned(), "-f".to_owned(), "-e".to_owned(), file.display().to_string()];
    arguments.extend(addresses.iter().map(|address| format!("{address:#x}")));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let told = run("addr2line", &arguments, Path::new("/"))?;
    let (mut out, mut lines) = (BTreeMap::new(), told.lines().peekable());
    while let Some(line) = lines.next() {
        let address = u64::from_str_radix(line.strip_prefix("0x").context("an address")?, 16)?;
        let mut frames = Frames::new();
        while lines.peek().is_some_and(|line| !line.starts_with("0x")) {
            let (name, place) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
            let place = place.split(" (discriminator").next().unwrap_or_default();
            let (file, line) = place.rsplit_once(':').context("a place")?;
            let file = file.rsplit('/').next().unwrap_or_default().replace("??", "");
            frames.push((name.to_owned(), file, line.parse().unwrap_or(0)));
        }
        out.insert(address, frames);
    }
    Ok(out)
}

/// A profile of one sample an address, as a profiler without symbols sends it.
pub(crate) fn profile(name: &str, id: &str, addresses: &[u64], mapping: (u64, u64, u64)) -> Vec<u8> {
    let mut strings: Vec<String> = vec![String::new()];
    let mut text = |text: &str| {
        strings.push(text.to_owned());
        strings.len() as i64 - 1
    };
    let cpu = pprof::ValueType { r#type: text("cpu"), unit: text("nanoseconds") };
    let (memory_start, memory_limit, file_offset) = mapping;
    let (filename, build_id) = (text(&format!("/usr/bin/{name}")), text(id));
    let mapping =
        pprof::Mapping { id: 1, memory_start, memory_limit, file_offset, filename, build_id, ..Default::default() };
    let location =
        |at: usize| pprof::Location { id: at as u64 + 1, mapping_id: 1, address: addresses[at], ..Default::default() };
    let sample = |at: usize| pprof::Sample { location_id: vec![at as u64 + 1], value: vec![1], ..Default::default() };
    let profile = pprof::Profile {
        sample_type: vec![cpu],
        sample: (0..addresses.len()).map(sample).collect(),
        mapping: vec![mapping],
        location: (0..addresses.len()).map(location).collect(),
        string_table: strings,
        time_nanos: now_ns(),
        duration_nanos: 1,
        period_type: Some(cpu),
        period: 1,
        ..Default::default()
    };
    profile.encode_to_vec()
}

pub(crate) async fn push_native(server: &Server, service: &str, profile: Vec<u8>) -> anyhow::Result<()> {
    let labels = [("__name__", "process_cpu"), ("service_name", service)];
    Ok(push(&server.client(), &push_request(&labels, vec![(profile, "")])).await??)
}

/// Frames by address, from the merged pprof.
pub(crate) async fn shown(server: &Server, service: &str) -> anyhow::Result<BTreeMap<u64, Frames>> {
    let Range { start_ms, end_ms } = Range::around_now();
    let request = SelectMergeProfileRequest {
        profile_type_id: CPU.to_owned(),
        label_selector: format!("{{service_name=\"{service}\"}}"),
        start: start_ms,
        end: end_ms,
        ..Default::default()
    };
    let method = "querier.v1.QuerierService/SelectMergeProfile";
    let merged: pprof::Profile = server.client().call(Protocol::ConnectProto, method, &request).await??;
    let text = |at: i64| merged.string_table.get(at as usize).cloned().unwrap_or_default();
    let functions: BTreeMap<u64, &pprof::Function> = merged.function.iter().map(|one| (one.id, one)).collect();
    let frame = |line: &pprof::Line| {
        let function = functions[&line.function_id];
        let file = text(function.filename);
        (text(function.system_name), file.rsplit('/').next().unwrap_or_default().to_owned(), line.line)
    };
    let total: i64 = merged.sample.iter().map(|sample| sample.value[0]).sum();
    ensure!(total == merged.location.len() as i64, "{service}: {total} samples at {} places", merged.location.len());
    Ok(merged.location.iter().map(|one| (one.address, one.line.iter().map(frame).collect())).collect())
}

fn upload(server: &Server, file: &Path) -> anyhow::Result<String> {
    let url = server.url();
    run(binary()?, &["debuginfo", "upload", "--url", &url, &file.display().to_string()], Path::new("/"))
}

/// Builds, or says which compiler is missing.
pub(crate) fn built(who: &str, folder: &Path, language: &str) -> anyhow::Result<Option<PathBuf>> {
    let (file, sources) = (folder.join(language), sources());
    let (out, source) = (file.display().to_string(), |name: &str| sources.join(name).display().to_string());
    let (compiler, arguments) = match language {
        "c" => ("gcc", vec!["-g", "-O2", "-Wl,--build-id", "-o", &out, "hot.c"]),
        "cpp" => ("g++", vec!["-g", "-O2", "-Wl,--build-id", "-o", &out, "hot.cpp"]),
        "rust" => ("rustc", vec!["-g", "-O", "-Clink-arg=-Wl,--build-id", "--edition=2021", "-o", &out, "hot.rs"]),
        _ => ("go", vec!["build", "-ldflags=-B=gobuildid", "-o", &out, "hot.go"]),
    };
    if Command::new(compiler).arg(if compiler == "go" { "version" } else { "--version" }).output().is_err() {
        skip(who, format!("no {compiler}"));
        return Ok(None);
    }
    ensure!(Path::new(&source("hot.c")).exists(), "the sources are there");
    run(compiler, &arguments, &sources)?;
    Ok(Some(file))
}

/// Pushed first, uploaded later, then flushed into a block: the same names as binutils'.
async fn late_upload(language: &str, own: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(file) = built("late_upload", folder.path(), language)? else { return Ok(()) };
    let (id, at) = (build_id(&file)?, addresses(&file, own)?);
    let expected = addr2line(&file, &at)?;
    ensure!(expected.values().any(|frames| frames.len() > 1), "nothing was inlined: the test asks too little");
    let server = Server::start(ServerOptions::new()).await?;
    push_native(&server, language, profile(language, &id, &at, (0, 0, 0))).await?;
    ensure!(shown(&server, language).await?.values().all(Vec::is_empty), "names from nowhere");
    let told = upload(&server, &file)?;
    ensure!(told.ends_with("uploaded\n"), "{told}");
    ensure!(upload(&server, &file)?.contains("there already"));
    for flushed in [false, true] {
        if flushed {
            server.flush().await?;
        }
        let shown = shown(&server, language).await?;
        let same = expected.iter().filter(|(address, frames)| shown.get(*address) == Some(*frames)).count();
        let other = expected.iter().find(|(address, frames)| shown.get(*address) != Some(*frames));
        ensure!(
            same == expected.len(),
            "{language}, flushed: {flushed}: {same} of {} alike; {other:?} is shown as {:?}",
            expected.len(),
            other.and_then(|(address, _)| shown.get(address))
        );
    }
    Ok(())
}

/// Cost of each function by itself and with everything that it calls, of a sample an address.
fn costs(frames: &BTreeMap<u64, Frames>, own: &str) -> BTreeMap<String, (i64, i64)> {
    let mut costs: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for frames in frames.values() {
        let names: BTreeSet<&String> = frames.iter().map(|(name, ..)| name).filter(|name| name.contains(own)).collect();
        for name in names {
            let (in_itself, total) = costs.entry(name.clone()).or_default();
            *in_itself += i64::from(frames[0].0 == *name);
            *total += 1;
        }
    }
    costs
}

/// The functions whose names contain `own`: by the index, with their service and files; and by functions over time; each with
/// what they cost of so many samples.
async fn indexed(server: &Server, own: &str, samples: usize) -> anyhow::Result<[BTreeMap<String, (i64, i64)>; 2]> {
    let client = server.client();
    let get = async |path: String| anyhow::Ok(serde_json::from_str::<Value>(&client.get_text(&path).await?)?);
    let range = "from=now-1h&limit=200";
    let sum = |of: &Value| of.as_array().into_iter().flatten().filter_map(Value::as_i64).sum::<i64>();
    let shares = |of: &Value| of.as_array().into_iter().flatten().filter_map(Value::as_f64).sum::<f64>();
    let query = format!("query={CPU}%7Bservice_name%3D%22native%22%7D");
    let found = get(format!("/api/v1/functions?q={own}&shares=1&step=1h&{query}&{range}")).await?;
    let mut index = BTreeMap::new();
    for function in found["functions"].as_array().context("functions")? {
        let name = function["name"].as_str().context("a name")?;
        let [service] = &function["services"].as_array().context("services")?[..] else { anyhow::bail!("{function}") };
        ensure!(service["service_name"] == "native" && service["profile_types"] == json!([CPU]), "{function}");
        ensure!(service["files"][0].as_str().is_some_and(|file| file.ends_with("hot.c")), "{function}");
        let of_all = |share: f64| (share * samples as f64).round() as i64;
        index.insert(name.to_owned(), (of_all(shares(&service["self"])), of_all(shares(&service["total"]))));
    }
    let found = get(format!("/api/v1/functions/series?regex=.*{own}.*&step=1h&{query}&{range}")).await?;
    let mut series = BTreeMap::new();
    for function in found["functions"].as_array().context("functions")? {
        let name = function["function"].as_str().context("a name")?;
        series.insert(name.to_owned(), (sum(&function["self"]), sum(&function["total"])));
    }
    Ok([index, series])
}

/// Nothing before the binary is there; then what `addr2line` says, from memory, from a block, and after a restart.
#[tokio::test]
async fn functions_of_addresses_are_found_once_their_binary_is_there() -> anyhow::Result<()> {
    const OWN: &str = "flame_";
    let folder = tempfile::tempdir()?;
    let who = "functions_of_addresses_are_found_once_their_binary_is_there";
    let Some(file) = built(who, folder.path(), "c")? else { return Ok(()) };
    let (id, at) = (build_id(&file)?, addresses(&file, OWN)?);
    let expected = costs(&addr2line(&file, &at)?, OWN);
    ensure!(expected.len() > 2, "the test asks too little: {expected:?}");
    let mut server = Server::start(ServerOptions::new()).await?;
    push_native(&server, "native", profile("c", &id, &at, (0, 0, 0))).await?;
    for names in indexed(&server, OWN, at.len()).await? {
        ensure!(names.is_empty(), "names from nowhere: {names:?}");
    }
    upload(&server, &file)?;
    for place in ["memory", "a block", "a block after a restart"] {
        let [index, series] = indexed(&server, OWN, at.len()).await?;
        ensure!(series == expected, "{place}: {series:?} over time, not {expected:?}");
        ensure!(index == expected, "{place}: {index:?} in the index, not {expected:?}");
        match place {
            "memory" => server.flush().await?,
            _ => server.restart().await?,
        }
    }
    Ok(())
}

#[tokio::test]
async fn c_has_the_names_of_addr2line() -> anyhow::Result<()> {
    late_upload("c", "flame_").await
}

#[tokio::test]
async fn cpp_has_the_names_of_addr2line() -> anyhow::Result<()> {
    late_upload("cpp", "flame").await
}

#[tokio::test]
async fn rust_has_the_names_of_addr2line() -> anyhow::Result<()> {
    late_upload("rust", "flame").await
}

/// Binutils of today do not know what Go writes, so the source is what it is compared with.
#[tokio::test]
async fn go_has_the_lines_of_its_source() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(file) = built("go_has_the_lines_of_its_source", folder.path(), "go")? else { return Ok(()) };
    let (id, at) = (build_id(&file)?, addresses(&file, "main.sum")?);
    let server = Server::start(ServerOptions::new()).await?;
    upload(&server, &file)?;
    push_native(&server, "go", profile("go", &id, &at, (0, 0, 0))).await?;
    let source = fs::read_to_string(sources().join("hot.go"))?;
    let line_of = |text: &str| source.lines().position(|line| line.contains(text)).map(|at| at as i64 + 1);
    let (mix, sum) = (line_of("func (m *mixer)").context("mix")?, line_of("func sum").context("sum")?);
    let shown = shown(&server, "go").await?;
    for frames in shown.values() {
        let (name, file, line) = frames.last().context("no frame")?;
        ensure!(name == "main.sum" && file == "hot.go" && (sum..sum + 7).contains(line), "{frames:?}");
    }
    let inlined = shown.values().filter(|frames| {
        frames.len() == 2 && frames[0].0 == "main.(*mixer).mix" && (mix..mix + 4).contains(&frames[0].2)
    });
    ensure!(inlined.count() > 0, "{shown:?}");
    Ok(())
}

/// What a process says of itself: (address of its function, start, limit and offset of the mapping).
fn own_mapping(file: &Path) -> anyhow::Result<(u64, (u64, u64, u64))> {
    let told = run(file, &[], Path::new("/"))?;
    let numbers: Result<Vec<u64>, _> = told.split_whitespace().map(|hex| u64::from_str_radix(hex, 16)).collect();
    let [address, start, limit, offset] = numbers?[..] else { anyhow::bail!("{told}") };
    Ok((address, (start, limit, offset)))
}

#[tokio::test]
async fn stripped_binaries_have_the_names_of_what_was_kept() -> anyhow::Result<()> {
    let who = "stripped_binaries_have_the_names_of_what_was_kept";
    let folder = tempfile::tempdir()?;
    let Some(file) = built(who, folder.path(), "c")? else { return Ok(()) };
    let (id, folder) = (build_id(&file)?, folder.path());
    run("objcopy", &["--only-keep-debug", "c", "c.debug"], folder)?;
    run("objcopy", &["--strip-debug", "c", "c.symbols"], folder)?;
    run("objcopy", &["--strip-all", "c", "c.stripped"], folder)?;
    let (address, mapping) = own_mapping(&folder.join("c.stripped"))?;
    let name = |frames: &Frames| frames.iter().map(|(name, _, _)| name.clone()).collect::<Vec<_>>();
    for (kept, has_lines) in [("c", true), ("c.debug", true), ("c.symbols", false)] {
        let server = Server::start(ServerOptions::new()).await?;
        push_native(&server, "c", profile("c", &id, &[address, mapping.0 + 1], mapping)).await?;
        upload(&server, &folder.join(kept))?;
        let shown = shown(&server, "c").await?;
        ensure!(name(&shown[&address]) == ["flame_own_address"], "{kept}: {shown:?}");
        ensure!((shown[&address][0].2 > 0) == has_lines, "{kept}: {shown:?}");
        let other = &shown[&(mapping.0 + 1)];
        ensure!(
            !other.is_empty(),
            "{kept}: an address that the table does not hold has a name all the same: {shown:?}"
        );
    }
    // Nothing to learn from.
    let server = Server::start(ServerOptions::new()).await?;
    let refused = upload(&server, &folder.join("c.stripped"));
    ensure!(refused.is_err_and(|error| error.to_string().contains("neither debug information nor function symbols")));
    Ok(())
}

#[tokio::test]
async fn uploads_keep_to_their_protocol() -> anyhow::Result<()> {
    let server =
        Server::start(ServerOptions::new().multitenant().flag("symbolizer.max-symbol-size-bytes=1MiB")).await?;
    let client = server.client().with_tenant("a");
    let service = "debuginfo.v1alpha1.DebuginfoService";
    let path = format!("/{service}/Upload/ab12");
    let file = |id: &str| serde_json::json!({"file": {"gnuBuildId": id, "name": "x", "type": "TYPE_EXECUTABLE_FULL"}});
    let id = serde_json::json!({"gnuBuildId": "ab12"});
    let post = |body: Vec<u8>, offset: &'static str| {
        let (client, path) = (client.clone(), path.clone());
        async move { Ok::<_, anyhow::Error>(client.post(&path, &[("upload-offset", offset)], body).await?.0) }
    };
    let code = |answer: (u16, serde_json::Value)| answer.1["code"].as_str().unwrap_or_default().to_owned();

    ensure!(server.client().post(&path, &[], vec![1]).await?.0 == 401, "no tenant");
    ensure!(post(vec![1], "0").await? == 412, "nothing is under way");
    ensure!(client.post(&format!("/{service}/Upload/xyz"), &[], vec![1]).await?.0 == 400, "no build id");
    ensure!(code(client.json(&format!("{service}/UploadFinished"), &id).await?) == "not_found");
    ensure!(code(client.json(&format!("{service}/ShouldInitiateUpload"), &file("../x")).await?) == "invalid_argument");

    let should = async || -> anyhow::Result<bool> {
        let (_, answer) = client.json(&format!("{service}/ShouldInitiateUpload"), &file("AB12")).await?;
        Ok(answer["shouldInitiateUpload"].as_bool().unwrap_or_default())
    };
    ensure!(should().await?);
    ensure!(!should().await?, "one at a time");
    ensure!(code(client.json(&format!("{service}/UploadFinished"), &id).await?) == "failed_precondition", "no byte");
    ensure!(post(vec![7; 100], "0").await? == 200);
    ensure!(post(vec![7; 100], "99").await? == 409, "a gap or an overlap");
    ensure!(post(vec![7; 100], "100").await? == 200);
    ensure!(post(vec![7; 2 << 20], "200").await? == 413, "too large");
    ensure!(post(vec![7; 100], "0").await? == 200, "anew");
    let listed = client.json(&format!("{service}/ListDebuginfo"), &serde_json::json!({})).await?.1;
    ensure!(listed["object"][0]["state"].is_null() && listed["object"][0]["sizeBytes"] == "100", "{listed}");
    ensure!(code(client.json(&format!("{service}/UploadFinished"), &id).await?) == "invalid_argument", "no ELF file");
    ensure!(should().await?, "what was no ELF file is forgotten");

    let other =
        server.client().with_tenant("b").json(&format!("{service}/ListDebuginfo"), &serde_json::json!({})).await?;
    ensure!(other.1["object"].as_array().is_none_or(Vec::is_empty), "another tenant sees nothing");
    ensure!(client.json(&format!("{service}/DeleteDebuginfo"), &id).await?.0 == 200);
    let listed = client.json(&format!("{service}/ListDebuginfo"), &serde_json::json!({})).await?.1;
    ensure!(listed["object"].as_array().is_none_or(Vec::is_empty), "{listed}");
    Ok(())
}

#[tokio::test]
async fn a_binary_under_another_name_is_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(file) = built("a_binary_under_another_name_is_refused", folder.path(), "c")? else { return Ok(()) };
    let server = Server::start(ServerOptions::new()).await?;
    let client = server.client();
    let service = "debuginfo.v1alpha1.DebuginfoService";
    let request = serde_json::json!({"file": {"gnuBuildId": "ab12"}});
    client.json(&format!("{service}/ShouldInitiateUpload"), &request).await?;
    client.post(&format!("/{service}/Upload/ab12"), &[], fs::read(&file)?).await?;
    let finished = serde_json::json!({"gnuBuildId": "ab12"});
    let (status, told) = client.json(&format!("{service}/UploadFinished"), &finished).await?;
    ensure!(
        status == 400 && told["message"].as_str().is_some_and(|text| text.contains("bears the build id")),
        "{told}"
    );
    Ok(())
}
