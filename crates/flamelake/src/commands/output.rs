//! Answers as rows of named columns, for programs: JSON (one array) and CSV (RFC 4180). Tables for people are drawn by `render`.

use clap::ValueEnum;
use serde_json::{Map, Value};

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a person.
    #[default]
    Table,
    /// One array of objects.
    Json,
    /// A line of names, then a line a row.
    Csv,
}

/// Rows of the same columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    columns: Vec<&'static str>,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    pub(super) fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Values in order of the columns.
    pub(super) fn push(&mut self, row: Vec<Value>) {
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, unless a table is wanted.
    pub(super) fn text(&self, format: Format) -> Option<String> {
        match format {
            Format::Table => None,
            Format::Json => Some(self.json()),
            Format::Csv => Some(self.csv()),
        }
    }

    fn json(&self) -> String {
        let object = |row: &Vec<Value>| {
            let fields = self.columns.iter().zip(row).map(|(name, value)| ((*name).to_owned(), value.clone()));
            Value::Object(fields.collect::<Map<_, _>>())
        };
        let rows: Vec<Value> = self.rows.iter().map(object).collect();
        format!("{:#}\n", Value::Array(rows))
    }

    fn csv(&self) -> String {
        let mut out = self.columns.join(",") + "\r\n";
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(cell).collect();
            out += &cells.join(",");
            out += "\r\n";
        }
        out
    }
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        // Labels: as a selector writes them.
        Value::Object(fields) => {
            let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{{{}}}", pairs.join(","))
        }
        other => other.to_string(),
    };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_become_json_and_csv() {
        let mut rows = Rows::new(&["function", "self", "labels"]);
        assert!(rows.is_empty());
        rows.push(vec![json!("a,\"b\""), json!(3), json!({"pod": "x"})]);
        rows.push(vec![json!("main"), json!(1.5), Value::Null]);
        assert_eq!(
            rows.text(Format::Csv).unwrap(),
            "function,self,labels\r\n\"a,\"\"b\"\"\",3,\"{pod=\"\"x\"\"}\"\r\nmain,1.5,\r\n"
        );
        let read: Value = serde_json::from_str(&rows.text(Format::Json).unwrap()).unwrap();
        assert_eq!(read[0], json!({"function": "a,\"b\"", "self": 3, "labels": {"pod": "x"}}));
        assert_eq!(rows.text(Format::Table), None);
    }
}
