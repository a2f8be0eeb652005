//! The command line: `flamelake [flags]` is the server, `flamelake push|query …` are clients.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Parser as _;
use flamelake_config::{ConfigError, Environment, Flags, Section, Show, Values, help, markdown, show};
use flamelake_telemetry::BuildInfo;

use crate::commands::Commands;
use crate::config::ServerSettings;
use crate::sql::{self, Sql};
use crate::{offline, server};

const COMMANDS: [&str; 11] =
    ["debuginfo", "push", "query", "diff", "import", "watch", "ui", "ring", "token", "completions", "help"];
const USAGE: &str = "Flamelake, a continuous-profiling database.

Usage:
  flamelake [--target=all] [--config.file=FILE] [--key=value …]   start the server
  flamelake push FILE…   --label service_name=NAME                send profiles to a server
  flamelake import --source URL --from now-7d                     copy the profiles of another server
  flamelake query types|labels|series|flamegraph|top|diff|pprof   ask a server (--output table|json|csv)
  flamelake diff --base-query … --query …                         which functions changed, tested over single profiles
  flamelake watch                                                 the costliest functions, again and again
  flamelake ui FILE…                                              open the web page on files, until Ctrl-C
  flamelake ring                                                  show who is a member of the cluster
  flamelake completions bash|zsh|fish                             what a shell needs to complete these commands
  flamelake token  --for TENANT --right push|query|admin         draw a request token for auth.tokens-file
  flamelake admin delete create|list|show                         delete by selector, for good and with a receipt
  flamelake sql ['select …']                                     SQL over the blocks by DuckDB, without a server
  flamelake admin …                                               look at blocks, catalogs and logs without a server

  --config.show    print the resolved configuration and exit      --version   print the version and exit
  --config.check   check it and the files it names, exit              --help      print this and exit

Every key can be given as a flag, with one or two dashes, or in the YAML file (dots become levels).
";

/// Does what the arguments say.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let asks_server = arguments.first().is_some_and(|first| COMMANDS.contains(&first.as_str()));
    // The other admin commands read the bucket themselves.
    let is_delete = arguments.len() > 1 && arguments[0] == "admin" && arguments[1] == "delete";
    if asks_server || is_delete {
        let commands = Commands::parse_from(std::iter::once("flamelake".to_owned()).chain(arguments.iter().cloned()));
        return runtime(1)?.block_on(commands.run());
    }
    if arguments.first().is_some_and(|first| first == "admin") {
        let (words, flags) = offline::split(&arguments[1..]);
        if words.is_empty() {
            return print(offline::USAGE);
        }
        let (settings, _) = load(Flags::parse(flags, &ServerSettings::keys())?)?;
        return runtime(1)?.block_on(offline::run(&words, &settings));
    }
    if arguments.first().is_some_and(|first| first == "sql") {
        let Some(sql) = Sql::parse(&arguments[1..])? else { return print(sql::USAGE) };
        let (settings, _) = load(sql.flags()?)?;
        return runtime(1)?.block_on(sql.run(&settings));
    }
    let mut flags = Flags::parse(arguments, &ServerSettings::keys())?;
    if flags.take("help").or_else(|| flags.take("h")).is_some() {
        return print(&format!("{USAGE}\n{}", help(&ServerSettings::keys(), 110)));
    }
    if flags.take("version").is_some() {
        return print(&format!("flamelake {}\n", BuildInfo::current()));
    }
    if flags.take("config.docs").is_some() {
        return print(&markdown(&ServerSettings::keys()));
    }
    let (show_only, check_only) = (flags.take("config.show").is_some(), flags.take("config.check").is_some());
    let (settings, values) = load(flags)?;
    if show_only {
        return print(&show(&settings, &values, Show::All));
    }
    if check_only {
        server::check(&settings)?;
        return print("the configuration is good\n");
    }
    runtime(0)?.block_on(server::run(settings, &values))
}

fn load(mut flags: Flags) -> Result<(ServerSettings, Values), ConfigError> {
    let mut values = Values::new(ServerSettings::keys());
    // Accepted and without effect: variables are always expanded.
    let _ = flags.take("config.expand-env");
    if let Some(file) = flags.take("config.file") {
        values.add_file(&PathBuf::from(file), &Environment::Process)?;
    }
    values.add_flags(flags)?;
    Ok((ServerSettings::load(&mut values)?, values))
}

/// Polls of tasks between two looks at sockets and timers. tokio's 61 lets a few long polls (a piece of a query, a part of a
/// merge) add up to what a neighbour's request then waits before anybody reads it.
const POLLS_BETWEEN_EVENTS: u32 = 8;

/// `workers` 0 = one a core.
fn runtime(workers: usize) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.event_interval(POLLS_BETWEEN_EVENTS);
    if workers > 0 {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}

fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The error and its causes, for a person.
pub(crate) fn say_error(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "flamelake: {error:#}");
}
