//! `flamelake sql`: SQL over the live blocks of a tenant, without a server. DuckDB does the work as a program of its own
//! (`docs/decisions/0007-duckdb-as-a-program.md`); here is only what it cannot know: which blocks are live, and where they lie.

mod arguments;
mod script;
mod duckdb;

use std::io::Write as _;

use anyhow::{bail, ensure};
use flamelake_block::meta::BlockMeta;
use flamelake_catalog::CatalogStore;
use flamelake_config::{Flags, Section as _};
use flamelake_runtime::clock::SystemClock;
use prometheus::Registry;

use self::arguments::Arguments;
use self::duckdb::DuckDb;
use self::script::{Blocks, Secrets, script};
use crate::arbiter::open_bucket;
use crate::commands::show_time;
use crate::config::ServerSettings;

/// Shown for `flamelake sql --help`.
pub(crate) const USAGE: &str = "flamelake sql [STATEMENT] [the server's --config.file and --storage.… flags]

Runs a statement in DuckDB over the live blocks of a tenant, or opens its shell. No server is asked; what is not in a block yet is not seen.

  --tenant TENANT              whose blocks (anonymous)
  --from TIME, --until TIME    only blocks that hold profiles of this range: now-1d, RFC 3339 or Unix seconds
  --output table|json|csv      how the answer is written
  --print                      print the views, for a DuckDB of your own, and exit

Views: series, profiles, samples, samples_by_function, stacks, frames, functions, function_tree.
In one query: top_functions(type), diff_functions(type, label, before, after), flame_graph(type). See docs/sql.md.
";

/// What the arguments after `sql` say.
pub(crate) struct Sql {
    arguments: Arguments,
}

impl Sql {
    /// Tells the server's flags from those of the command; `None` asks for help.
    pub(crate) fn parse(arguments: &[String]) -> anyhow::Result<Option<Self>> {
        Ok(Arguments::parse(arguments, &ServerSettings::keys())?.map(|arguments| Self { arguments }))
    }

    /// The server's flags.
    pub(crate) fn flags(&self) -> anyhow::Result<Flags> {
        Ok(Flags::parse(&self.arguments.flags, &ServerSettings::keys())?)
    }

    /// Finds the blocks and hands them to DuckDB.
    pub(crate) async fn run(self, settings: &ServerSettings) -> anyhow::Result<()> {
        let Arguments { statement, tenant, print, output, from_ms, until_ms, .. } = self.arguments;
        let (clock, registry) = (SystemClock::shared(), Registry::new());
        let bucket = open_bucket(settings, &clock, &registry)?;
        let catalog = CatalogStore::new(bucket, clock, settings.catalog.clone(), &registry);
        let state = catalog.load(&tenant).await?;
        let live: Vec<&BlockMeta> =
            state.blocks.values().map(AsRef::as_ref).filter(|block| overlaps(block, from_ms, until_ms)).collect();
        ensure!(
            !live.is_empty(),
            "tenant {tenant} has no live block{}: profiles of the last minutes are in no block yet (POST /ingester/flush writes them), and \
             --tenant, --config.file or --storage.… may name another place",
            if from_ms.is_some() || until_ms.is_some() { " in this range" } else { "" }
        );
        let blocks = Blocks { tenant: &tenant, ids: live.iter().map(|block| block.ulid.to_string()).collect() };
        if print {
            return out(&script(&settings.storage, &blocks, Secrets::LeftOut)?);
        }
        let script = script(&settings.storage, &blocks, Secrets::Written)?;
        let duckdb = DuckDb::find()?;
        match statement {
            Some(statement) => duckdb.run(&script, &statement, output),
            None => {
                tell(&live, tenant.as_str());
                duckdb.shell(&script)
            }
        }
    }
}

fn overlaps(block: &BlockMeta, from_ms: Option<i64>, until_ms: Option<i64>) -> bool {
    from_ms.is_none_or(|from| block.max_time_ns.div_euclid(1_000_000) >= from)
        && until_ms.is_none_or(|until| block.min_time_ns.div_euclid(1_000_000) <= until)
}

/// What the shell shows, for a person.
fn tell(live: &[&BlockMeta], tenant: &str) {
    let from = live.iter().map(|block| block.min_time_ns).min().unwrap_or_default();
    let until = live.iter().map(|block| block.max_time_ns).max().unwrap_or_default();
    let _ = writeln!(
        std::io::stderr(),
        "{} live blocks of tenant {tenant}, {} to {}. Views: series, profiles, samples, samples_by_function, stacks, frames, functions, \
         function_tree;\nmacros: top_functions(type), diff_functions(type, label, before, after), flame_graph(type).",
        live.len(),
        show_time(from / 1_000_000),
        show_time(until / 1_000_000)
    );
}

fn out(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => bail!(error),
        Ok(()) => Ok(()),
    }
}
