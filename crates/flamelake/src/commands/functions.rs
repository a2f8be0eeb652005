//! Functions by name, as `flamelake query functions` asks for them and shows them. Pure.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::output::Rows;
use super::time;

/// A question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    pub(super) text: &'a str,
    pub(super) is_regex: bool,
    pub(super) limit: usize,
    pub(super) selector: &'a str,
    pub(super) profile_type: Option<&'a str>,
    /// Milliseconds, both ends included.
    pub(super) range: [i64; 2],
}

impl Query<'_> {
    /// The path of a GET.
    pub(super) fn path(&self) -> String {
        let query = format!("{}{}", self.profile_type.unwrap_or_default(), self.selector);
        let path = String::from("api/v1/functions?");
        let begin = path.len();
        let mut parameters = Serializer::for_suffix(path, begin);
        parameters
            .append_pair(if self.is_regex { "regex" } else { "q" }, self.text)
            .append_pair("query", &query)
            .append_pair("from", &self.range[0].to_string())
            .append_pair("until", &self.range[1].to_string())
            .append_pair("limit", &self.limit.to_string());
        parameters.finish()
    }
}

/// The answer.
#[derive(Debug, Deserialize)]
pub(super) struct Found {
    functions: Vec<Function>,
    more: bool,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    services: Vec<Service>,
}

#[derive(Debug, Deserialize)]
struct Service {
    service_name: String,
    profile_types: Vec<String>,
    files: Vec<String>,
    first_ms: i64,
    last_ms: i64,
}

impl Found {
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        serde_json::from_str(text).context("the server's answer is not understood")
    }

    fn places(&self) -> impl Iterator<Item = (&str, &Service)> {
        self.functions
            .iter()
            .flat_map(|function| function.services.iter().map(|service| (function.name.as_str(), service)))
    }

    /// For programs: a row for each service of each function.
    pub(super) fn rows(&self) -> Rows {
        let mut rows = Rows::new(&["function", "service_name", "files", "profile_types", "first_ms", "last_ms"]);
        for (name, service) in self.places() {
            rows.push(vec![
                json!(name),
                json!(service.service_name),
                json!(service.files),
                json!(service.profile_types),
                json!(service.first_ms),
                json!(service.last_ms),
            ]);
        }
        rows
    }

    /// For a person.
    pub(super) fn table(&self) -> String {
        let mut out = format!("{:<19}  {:<19}  {:<24}  FUNCTION\n", "FIRST", "LAST", "SERVICE");
        for (name, service) in self.places() {
            let (first, last) = (time::show(service.first_ms), time::show(service.last_ms));
            let file = service.files.first().map(|file| format!("  {file}")).unwrap_or_default();
            let _ = writeln!(out, "{first}  {last}  {:<24}  {name}{file}", service.service_name);
        }
        if self.more {
            out.push_str("… and more: give more of the name, or a larger --limit\n");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_paths() {
        let query = Query {
            text: "Cart.Add(",
            is_regex: false,
            limit: 5,
            selector: "{}",
            profile_type: Some("a:b:c:d:e"),
            range: [1_795_359_600_000, 1_795_359_600_001],
        };
        let expected = "api/v1/functions?q=Cart.Add%28&query=a%3Ab%3Ac%3Ad%3Ae%7B%7D&from=1795359600000&until=1795359600001&limit=5";
        assert_eq!(query.path(), expected);
        assert!(
            Query { is_regex: true, profile_type: None, ..query }.path().contains("?regex=Cart.Add%28&query=%7B%7D&")
        );
    }

    #[test]
    fn answers_are_tables() {
        let text = r#"{"functions": [{"name": "main", "services": [{"service_name": "shop", "profile_types": ["a:b:c:d:e"],
            "files": ["main.go", "x.go"], "first_ms": 1795359600000, "last_ms": 1795359660000}]}], "more": true}"#;
        let found = Found::read(text).unwrap();
        let expected = "\
FIRST                LAST                 SERVICE                   FUNCTION
2026-11-22 15:00:00  2026-11-22 15:01:00  shop                      main  main.go
… and more: give more of the name, or a larger --limit
";
        assert_eq!(found.table(), expected);
        assert!(!found.rows().is_empty() && Found::read("{}").is_err());
    }
}
