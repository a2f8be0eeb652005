//! `flamelake push` and `flamelake query`: enough to use a server from a terminal. They meet it only over its public API.

mod client;
mod time;
mod push;
mod query;
mod functions;
mod import;
mod watch;
mod ui;
mod output;
mod diff;
mod compare;
mod exit;
mod ring;
mod token;
mod debuginfo;
mod delete;
mod tree;
mod render;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use flamelake_config::{Secret, without_passwords};
use prost::Message;

use client::Client;
pub(crate) use exit::Exit;
pub(crate) use output::Format as OutputFormat;
pub(crate) use push::{Format, unpack};
pub(crate) use time::{parse as parse_time, show as show_time};

/// The commands that talk to a server.
#[derive(Debug, Parser)]
#[command(name = "flamelake", about = "Talks to a Flamelake server; without a command flamelake is the server itself.")]
pub(crate) struct Commands {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends profiles of any format that a server takes.
    Push(push::Push),
    /// Copies the profiles of another server that speaks the Pyroscope API.
    Import(import::Import),
    /// Asks what is stored.
    Query(query::Query),
    /// Which functions cost another share than before, tested over single profiles.
    Diff(Box<compare::Compare>),
    /// Opens the web page on files: a server of its own in a temporary folder, until Ctrl-C.
    Ui(ui::Ui),
    /// Shows the costliest functions of the last moments, again and again.
    Watch(watch::Watch),
    /// Prints what a shell needs to complete these commands: flamelake completions bash > /etc/bash_completion.d/flamelake.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Gives names to the addresses of native programs.
    #[command(subcommand)]
    Debuginfo(debuginfo::Debuginfo),
    /// Shows who is a member of the cluster.
    Ring(ring::Ring),
    /// Draws a request token and prints it, and below it the line for auth.tokens-file.
    Token(token::Token),
    /// Operates a server.
    #[command(subcommand)]
    Admin(delete::Admin),
}

/// Which server, and as whom.
#[derive(Clone, Debug, Default, Args)]
struct Target {
    /// The server's public port.
    #[arg(long, global = true, env = "FLAMELAKE_URL", default_value = "http://127.0.0.1:4040")]
    url: String,
    /// Sent as X-Scope-OrgID; needed where multi-tenancy is on.
    #[arg(long, global = true, env = "FLAMELAKE_TENANT")]
    tenant: Option<String>,
    /// Request token; needed where the server has auth.tokens-file. Better by the variable: other users see command lines.
    #[arg(long, global = true, env = "FLAMELAKE_TOKEN", hide_env_values = true, value_parser = secret)]
    token: Option<Secret>,
    /// PEM file of the authorities that signed the server's certificate; those of the machine if absent.
    #[arg(long, global = true, env = "FLAMELAKE_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// PEM file of a client certificate and its key, where the server asks for one.
    #[arg(long, global = true, env = "FLAMELAKE_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

impl Commands {
    /// Does what was asked.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Push(push) => push.run().await,
            Command::Import(import) => import.run().await,
            Command::Query(query) => query.run().await,
            Command::Diff(compare) => compare.run().await,
            Command::Ui(ui) => ui.run().await,
            Command::Watch(watch) => watch.run().await,
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(
                    shell,
                    &mut <Self as clap::CommandFactory>::command(),
                    "flamelake",
                    &mut script,
                );
                query::out(&String::from_utf8_lossy(&script))
            }
            Command::Debuginfo(debuginfo) => debuginfo.run().await,
            Command::Ring(ring) => ring.run().await,
            Command::Token(token) => token.run(),
            Command::Admin(admin) => admin.run().await,
        }
    }
}

impl Target {
    fn client(&self) -> anyhow::Result<Client> {
        Client::new(self)
    }
}

/// A server that this process pushes to by itself.
#[derive(Clone, Debug)]
pub(crate) struct Pushes(Client);

impl Pushes {
    /// An empty tenant or token is not sent.
    pub(crate) fn new(url: &str, tenant: &str, token: &Secret) -> anyhow::Result<Self> {
        // It would stand in every complaint.
        anyhow::ensure!(
            without_passwords(url) == url,
            "self-profiling.push-url holds a password: use self-profiling.push-token"
        );
        let target = Target {
            url: url.to_owned(),
            tenant: (!tenant.is_empty()).then(|| tenant.to_owned()),
            token: (!token.is_empty()).then(|| token.clone()),
            ..Target::default()
        };
        Ok(Self(target.client()?))
    }

    /// Calls `package.Service/Method`.
    pub(crate) async fn call<Answer: Message + Default>(
        &self,
        method: &str,
        request: impl Message,
    ) -> anyhow::Result<Answer> {
        Ok(self.0.call(method, &request).await?)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Commands::command().debug_assert();
    }
}
