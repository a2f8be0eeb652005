//! A server and the commands that talk to it: start, push, look, stop.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use flamelake_api::google::v1::{Function, Line, Location, Profile, Sample, ValueType};
use flamelake_runtime::clock::SystemClock;
use prost::Message as _;

struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// On free ports, with its state in `folder`.
    fn start(folder: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_flamelake"))
            .args([
                "--server.http-listen-address=127.0.0.1",
                "--server.http-listen-port=0",
                "--server.grpc-listen-port=0",
            ])
            .arg(format!("--storage.filesystem.dir={}", folder.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let greeting = lines.next().unwrap().unwrap();
        let url = greeting.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { process, url }
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output =
            Command::new(env!("CARGO_BIN_EXE_flamelake")).args(arguments).args(["--url", &self.url]).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// SIGTERM, as an operator would; the exit status must be good.
    fn stop(mut self) {
        let kill = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status().unwrap();
        assert!(kill.success());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Server {
    /// Only after a failed test is there still something to kill.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// CPU time: main;work 300 ms, main 100 ms.
fn profile() -> Vec<u8> {
    let string_table = ["", "cpu", "nanoseconds", "main", "work"].map(str::to_owned).into();
    let cpu = ValueType { r#type: 1, unit: 2 };
    let function = |id: u64, name| Function { id, name, ..Function::default() };
    let location = |id| Location { id, line: vec![Line { function_id: id, line: 1 }], ..Location::default() };
    let sample = |stack: &[u64], value| Sample { location_id: stack.to_vec(), value: vec![value], ..Sample::default() };
    Profile {
        string_table,
        sample_type: vec![cpu],
        period_type: Some(cpu),
        period: 10_000_000,
        function: vec![function(1, 3), function(2, 4)],
        location: vec![location(1), location(2)],
        sample: vec![sample(&[2, 1], 300_000_000), sample(&[1], 100_000_000)],
        ..Profile::default()
    }
    .encode_to_vec()
}

const TYPE: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";

#[test]
fn what_is_pushed_can_be_seen_before_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("cpu.pb"));
    std::fs::write(&file, profile()).unwrap();
    let file = file.to_str().unwrap();

    let server = Server::start(&data);
    assert_eq!(server.run(&["query", "types"]), "");
    server.run(&["push", file, "--label", "service_name=shop", "--now"]);
    let each = format!("pushed {file} (pprof)\n");
    let both = server.run(&["push", file, file, "--label", "service_name=shop", "--now"]);
    assert_eq!(both, format!("{each}{each}pushed 2 profiles\n"));
    check(&server, folder.path());
    server.stop();

    let server = Server::start(&data);
    check(&server, folder.path());
    server.stop();
}

#[test]
fn a_machine_without_authorities_reaches_its_own_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let types = |url: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flamelake"));
        command
            .args(["query", "types", "--url", url])
            .env("SSL_CERT_FILE", "/dev/null")
            .env("SSL_CERT_DIR", folder.path());
        command.output().unwrap()
    };
    assert!(types(&server.url).status.success());
    let refused = types(&server.url.replace("http://", "https://"));
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("ca-certificates") && said.contains("--tls-ca"), "{said}");
    server.stop();
}

const SPEEDSCOPE: &str = r#"{"$schema":"https://www.speedscope.app/file-format-schema.json","shared":{"frames":[{"name":"in_speedscope"}]},
"profiles":[{"type":"sampled","name":"p","unit":"none","startValue":0,"endValue":3,"samples":[[0]],"weights":[3]}]}"#;
const OTLP: &str = r#"{"resourceProfiles":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"otlp"}}]},
"scopeProfiles":[{"profiles":[{"sampleType":{"typeStrindex":1,"unitStrindex":2},"periodType":{"typeStrindex":3,"unitStrindex":4},
"period":"10000000","samples":[{"stackIndex":1,"values":["5"]}]}]}]}],"dictionary":{"mappingTable":[{}],"linkTable":[{}],
"stringTable":["","samples","count","cpu","nanoseconds","in_otlp"],"functionTable":[{},{"nameStrindex":5}],"attributeTable":[{}],
"locationTable":[{},{"lines":[{"functionIndex":1}]}],"stackTable":[{},{"locationIndices":[1]}]}}"#;

#[test]
fn each_format_is_recognised_and_stored() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    for (name, body, format) in [
        ("folded", "main;in_folded 3\n".as_bytes(), "folded"),
        ("lines", b"main;in_lines\n", "lines"),
        ("tree", b"\x00\x00\x01\x07in_tree\x05\x00", "tree"),
        ("trie", b"\x00\x00\x01\x0cmain;in_trie\x05\x00", "trie"),
        ("speedscope", SPEEDSCOPE.as_bytes(), "speedscope"),
        ("otlp", OTLP.as_bytes(), "otlp-json"),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, body).unwrap();
        let file = file.to_str().unwrap();
        let label = format!("--label=service_name={name}");
        let said = if name == "otlp" { server.run(&["push", file]) } else { server.run(&["push", file, &label]) };
        assert_eq!(said, format!("pushed {file} ({format})\n"));
        let top = server.run(&["query", "top", "--query", &format!("{{service_name=\"{name}\"}}")]);
        assert!(top.contains(&format!("in_{name}")), "{name}: {top}");
    }
    standard_input(&server);
    server.stop();
}

/// A pipe, its format forced; what is no profile is an error that says what to do.
fn standard_input(server: &Server) {
    let push = |arguments: &[&str], input: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flamelake"));
        command.args(["push", "-", "--url", &server.url]).args(arguments).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let done = (Some(0), "pushed standard input (pprof)\n".to_owned());
    assert_eq!(push(&["--label=service_name=piped", "--now"], &profile()), done);
    let done = (Some(0), "pushed standard input (lines)\n".to_owned());
    assert_eq!(push(&["--label=service_name=piped", "--format=lines", "--kind=wall"], b"main;x 3\n"), done);
    let (code, said) = push(&[], b"\x07\x07");
    assert!(code == Some(1) && said.contains("say which with --format"), "{code:?} {said}");
    let (code, said) = push(&["--format=jfr", "--label=service_name=a"], b"main;x 3\n");
    assert!(code == Some(1) && said.contains("as jfr"), "{code:?} {said}");
    assert_eq!(push(&["--format=none"], b"").0, Some(2), "wrong usage");
}

fn check(server: &Server, folder: &Path) {
    assert_eq!(server.run(&["query", "types"]), format!("{TYPE}\n"));
    assert_eq!(server.run(&["query", "labels", "service_name"]), "shop\n");
    assert!(server.run(&["query", "labels"]).lines().any(|name| name == "service_name"));
    let flamegraph = "\
100.0%    1.20s ████████████████████ total
100.0%    1.20s ████████████████████  main
 75.0%  900.0ms ███████████████        work
";
    let shown = server.run(&["query", "flamegraph", "--query", "{service_name=\"shop\"}", "--type", TYPE]);
    let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(trimmed(&shown), trimmed(flamegraph));
    assert!(server.run(&["query", "top"]).contains("900.0ms  75.0%   900.0ms  75.0%  work"));
    programs_read_too(server);
    assert!(server.run(&["query", "series", "--group-by", "service_name"]).contains("1.20s  {service_name=\"shop\"}"));
    let output = folder.join("merged.pb");
    server.run(&["query", "pprof", "-o", output.to_str().unwrap()]);
    let merged = Profile::decode(std::fs::read(output).unwrap().as_slice()).unwrap();
    assert_eq!(merged.sample.iter().flat_map(|sample| &sample.value).sum::<i64>(), 1_200_000_000);
}

fn programs_read_too(server: &Server) {
    let top = server.run(&["query", "top", "--output", "json"]);
    assert!(top.starts_with("[\n") && top.contains("\"function\": \"work\"") && top.contains("900000000"), "{top}");
    let top = server.run(&["query", "top", "--output=csv", "-n", "1"]);
    assert_eq!(top, "function,self,total\r\nwork,900000000,900000000\r\n");
    assert!(server.run(&["watch", "--window", "1h", "--times", "1"]).contains("900.0ms  75.0%"));
    let code = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flamelake"));
        command.args(arguments).args(["--url", &server.url]).output().unwrap().status.code()
    };
    assert_eq!(code(&["query", "top", "--query", "{service_name=\"nobody\"}", "--fail-if-empty"]), Some(3));
    assert_eq!(code(&["query", "top", "--query", "{service_name=\"nobody\"}"]), Some(0));
    // All of it is new: the share of `work` grew by 75 points.
    assert_eq!(code(&["query", "diff", "--fail-over", "76%"]), Some(0));
    assert_eq!(code(&["query", "diff", "--fail-over", "74%"]), Some(4));
    assert!(server.run(&["query", "diff"]).contains("+75.00%    0.00%   75.00%"));
}

#[test]
fn an_import_copies_another_server_once() {
    let folder = tempfile::tempdir().unwrap();
    let (file, state) = (folder.path().join("cpu.pb"), folder.path().join("state.jsonl"));
    std::fs::write(&file, profile()).unwrap();
    let (from, to) = (Server::start(&folder.path().join("from")), Server::start(&folder.path().join("to")));
    for service in ["shop", "shop", "till"] {
        let label = format!("service_name={service}");
        from.run(&["push", file.to_str().unwrap(), "--label", &label, "--now"]);
    }
    let now = SystemClock::shared().unix_nanos() / 1_000_000_000;
    let until = (now + 2).to_string();
    let import = || {
        to.run(&[
            "import",
            "--source",
            &from.url,
            "--from=now-1h",
            "--until",
            &until,
            "--step=1s",
            "--state",
            state.to_str().unwrap(),
        ])
    };
    assert!(import().ends_with(" profiles of 2 series and types\n"));
    let seen = |server: &Server| {
        ["shop", "till"].map(|service| {
            let query = format!("{{service_name=\"{service}\"}}");
            server.run(&["query", "flamegraph", "--output=csv", "--query", &query, "--until", &until])
        })
    };
    assert_eq!(seen(&to), seen(&from));
    assert!(seen(&to)[0].contains("work,600000000,600000000"));
    assert_eq!(import(), "imported 0 profiles of 2 series and types\n");
    assert_eq!(seen(&to), seen(&from));
    from.stop();
    to.stop();
}

#[test]
fn the_page_opens_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my shop.pb");
    std::fs::write(&file, profile()).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_flamelake"))
        .args(["ui", "--no-browser"])
        .arg(&file)
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let page = lines.map_while(Result::ok).find(|line| line.starts_with("http://")).unwrap();
    let (url, query) = page.split_once("/?").unwrap();
    assert_eq!(query, "service=my_shop");
    let server = Server { process, url: url.to_owned() };
    assert_eq!(server.run(&["query", "labels", "service_name"]), "my_shop\n");
    assert!(server.run(&["query", "top"]).contains("300.0ms  75.0%   300.0ms  75.0%  work"));
    server.stop();
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "nothing but the profile is left");
}

#[test]
fn shells_can_complete_the_commands() {
    let output = Command::new(env!("CARGO_BIN_EXE_flamelake")).args(["completions", "bash"]).output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("flamegraph"));
}

#[test]
fn refusals_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "not a profile").unwrap();
    let push = |url: &str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_flamelake")).arg("push").arg(&file).args(["--url", url]).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(push("http://127.0.0.1:1").contains("this is no profile of a known format"));
    std::fs::write(&file, profile()).unwrap();
    let text = push("http://127.0.0.1:1");
    assert!(text.contains("cannot reach http://127.0.0.1:1") && text.contains("--url"), "{text}");
}
