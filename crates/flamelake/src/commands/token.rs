//! `flamelake token`: draws a request token. Asks no server: whoever may write `auth.tokens-file` may give access.

use anyhow::Error;
use clap::Args;
use flamelake_rpc::auth::{Rights, TenantScope, TokenGrant, draw};

use super::query::out;

#[derive(Debug, Args)]
pub(super) struct Token {
    /// A tenant that the token may name; `*` for all. May be repeated.
    #[arg(long = "for", required = true, value_name = "TENANT")]
    tenants: Vec<String>,
    /// What it may do: push, query, admin. May be repeated.
    #[arg(long = "right", required = true, value_name = "RIGHT")]
    rights: Vec<String>,
    /// Who has it; stands at the end of the line for people.
    #[arg(long, default_value = "")]
    name: String,
}

impl Token {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let grant = TokenGrant {
            tenants: TenantScope::parse(&self.tenants.join(",")).map_err(Error::msg)?,
            rights: Rights::parse(&self.rights.join(",")).map_err(Error::msg)?,
        };
        let drawn = draw(&grant, &self.name).map_err(Error::msg)?;
        out(&format!("{}\n{}\n", drawn.token.expose(), drawn.line))
    }
}
