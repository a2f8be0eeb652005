//! Arguments of `flamelake sql`: a statement, flags of its own, and those of the server.

use anyhow::{Context as _, bail, ensure};
use flamelake_config::{KeySpec, flag_name, normal};
use flamelake_model::TenantId;
use flamelake_runtime::clock::SystemClock;

use crate::commands::{OutputFormat, parse_time};

/// See [`super::USAGE`].
#[derive(Clone, Debug)]
pub(super) struct Arguments {
    pub(super) statement: Option<String>,
    pub(super) tenant: TenantId,
    pub(super) print: bool,
    pub(super) output: OutputFormat,
    pub(super) from_ms: Option<i64>,
    pub(super) until_ms: Option<i64>,
    /// Of the server.
    pub(super) flags: Vec<String>,
}

impl Arguments {
    /// `None` asks for help.
    pub(super) fn parse(arguments: &[String], specs: &[KeySpec]) -> anyhow::Result<Option<Self>> {
        let mut all = Self {
            statement: None,
            tenant: TenantId::anonymous(),
            print: false,
            output: OutputFormat::Table,
            from_ms: None,
            until_ms: None,
            flags: Vec::new(),
        };
        let now_ms = SystemClock::shared().unix_nanos() / 1_000_000;
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(name) = flag_name(argument) else {
                ensure!(
                    all.statement.is_none(),
                    "there is one statement already: put this one in quotes too: {argument}"
                );
                all.statement = Some(argument.clone());
                continue;
            };
            let mut value = || match argument.split_once('=') {
                Some((_, value)) => Ok(value.to_owned()),
                None => rest.next().cloned().with_context(|| format!("--{name} wants a value")),
            };
            let time = |text: &str| parse_time(text, now_ms).map_err(|error| anyhow::anyhow!("--{name}: {error}"));
            match name.as_str() {
                "help" | "h" => return Ok(None),
                "print" => all.print = true,
                "tenant" => all.tenant = TenantId::parse(&value()?).context("--tenant")?,
                "output" => all.output = output(&value()?)?,
                "from" => all.from_ms = Some(time(&value()?)?),
                "until" => all.until_ms = Some(time(&value()?)?),
                _ => {
                    all.flags.push(argument.clone());
                    let spec = specs.iter().find(|spec| normal(spec.key) == name || spec.aliases.contains(&name));
                    let stands_alone = spec.is_some_and(|spec| spec.kind == "bool");
                    if !argument.contains('=') && !stands_alone {
                        all.flags.extend(rest.next().cloned());
                    }
                }
            }
        }
        Ok(Some(all))
    }
}

fn output(text: &str) -> anyhow::Result<OutputFormat> {
    match text {
        "table" => Ok(OutputFormat::Table),
        "json" => Ok(OutputFormat::Json),
        "csv" => Ok(OutputFormat::Csv),
        other => bail!("--output is {other:?}: use table, json or csv"),
    }
}

#[cfg(test)]
mod tests {
    use flamelake_config::Section as _;

    use super::*;
    use crate::config::ServerSettings;

    fn parse(words: &[&str]) -> anyhow::Result<Option<Arguments>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Arguments::parse(&words, &ServerSettings::keys())
    }

    #[test]
    fn a_statement_stands_anywhere() {
        for words in [
            ["--storage.filesystem.dir", "/x", "--output=csv", "select 1", "--storage.s3.insecure", "--tenant", "a"]
                .as_slice(),
            ["select 1", "--tenant=a", "--storage.filesystem.dir", "/x", "--output", "csv", "--storage.s3.insecure"]
                .as_slice(),
        ] {
            let found = parse(words).unwrap().unwrap();
            assert_eq!((found.statement.as_deref(), found.tenant.as_str()), (Some("select 1"), "a"));
            assert_eq!((found.output, found.print), (OutputFormat::Csv, false));
            assert_eq!(found.flags, ["--storage.filesystem.dir", "/x", "--storage.s3.insecure"]);
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let told = |words: &[&str]| format!("{:#}", parse(words).unwrap_err());
        assert!(told(&["select", "1"]).contains("in quotes"));
        assert!(told(&["--output", "xml"]).contains("table, json or csv"));
        assert!(told(&["--tenant"]).contains("wants a value"));
        assert!(told(&["--from", "yesterday"]).contains("--from"));
        assert!(parse(&["--help"]).unwrap().is_none());
    }
}
