//! `flamelake watch`: the costliest functions of the last moments, drawn anew again and again, like `top`.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use flamelake_config::parse_duration;
use flamelake_runtime::clock::SystemClock;

use super::Target;
use super::query::{Asked, out};

/// Cursor to the corner, and everything below it forgotten.
const CLEAR: &str = "\x1b[H\x1b[J";

#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Which series: {service_name="x"}.
    #[arg(long, short = 'q', default_value = "{}", value_name = "SELECTOR")]
    query: String,
    /// Profile type; may be left out where there is only one.
    #[arg(long = "type", short = 't', value_name = "TYPE")]
    profile_type: Option<String>,
    /// How far each picture looks back.
    #[arg(long, default_value = "1m", value_parser = duration)]
    window: Duration,
    /// Time between pictures.
    #[arg(long, default_value = "5s", value_parser = duration)]
    every: Duration,
    /// Rows shown.
    #[arg(long, short = 'n', default_value_t = 30)]
    rows: usize,
    /// Sorts by cost with everything called, not by own cost.
    #[arg(long)]
    cumulative: bool,
    /// Ends after so many pictures; else Ctrl-C does.
    #[arg(long, value_name = "N")]
    times: Option<u64>,
    #[command(flatten)]
    target: Target,
}

impl Watch {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let clock = SystemClock::shared();
        let client = self.target.client()?;
        let mut drawn = 0;
        loop {
            let now = clock.unix_nanos() / 1_000_000;
            let start = now.saturating_sub(i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX));
            let asked = Asked::new(client.clone(), self.query.clone(), self.profile_type.clone(), [start, now]);
            // A server that is away for a moment is no reason to end.
            let text = asked.top_text(self.rows, self.cumulative).await.unwrap_or_else(|error| format!("{error:#}\n"));
            let window = self.window.as_secs();
            let head = format!("{} UTC, last {window} s of {}\n", super::time::show(now), self.query);
            out(&format!("{}{head}{text}", if std::io::stdout().is_terminal() { CLEAR } else { "" }))?;
            drawn += 1;
            if self.times.is_some_and(|times| drawn >= times) {
                return Ok(());
            }
            clock.sleep(self.every).await;
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|duration| !duration.is_zero()).ok_or_else(|| "write 15s or 1m".to_owned())
}
