//! The keys as people read them: `--help`, the reference page, and the resolved configuration.

use std::fmt::Write;

use serde_yaml_ng::{Mapping, Value};

use crate::{KeySpec, Section, Values, without_passwords};

/// Keys by section, in the order of their declaration.
fn sections(specs: &[KeySpec]) -> Vec<(&str, Vec<&KeySpec>)> {
    let mut sections: Vec<(&str, Vec<&KeySpec>)> = Vec::new();
    for spec in specs {
        match sections.iter_mut().find(|(about, _)| *about == spec.section) {
            Some((_, keys)) => keys.push(spec),
            None => sections.push((&spec.section, vec![spec])),
        }
    }
    sections
}

/// `Ingester: the recent head` is a name and a sentence.
fn title(about: &str) -> (&str, &str) {
    about.split_once(": ").unwrap_or((about, ""))
}

/// The keys for a terminal of `columns`.
pub fn help(specs: &[KeySpec], columns: usize) -> String {
    let mut out = String::new();
    for (about, keys) in sections(specs) {
        let (name, sentence) = title(about);
        let _ = writeln!(out, "{name}");
        if !sentence.is_empty() {
            wrap(&mut out, &capital(sentence), 2, columns);
        }
        for spec in keys {
            let _ = writeln!(out, "  --{} {}{}", spec.key, spec.kind, default_of(spec));
            wrap(&mut out, &spec.doc, 8, columns);
        }
        out.push('\n');
    }
    out
}

fn default_of(spec: &KeySpec) -> String {
    if spec.default.is_empty() { String::new() } else { format!(" (default {})", spec.default) }
}

fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn wrap(out: &mut String, text: &str, indent: usize, columns: usize) {
    let width = columns.saturating_sub(indent).max(30);
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            let _ = writeln!(out, "{:indent$}{line}", "");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        let _ = writeln!(out, "{:indent$}{line}", "");
    }
}

/// The keys as sections of a Markdown page.
pub fn markdown(specs: &[KeySpec]) -> String {
    let mut out = String::new();
    for (about, keys) in sections(specs) {
        let (name, sentence) = title(about);
        let _ = write!(out, "## {name}\n\n");
        if !sentence.is_empty() {
            let _ = write!(out, "{}\n\n", capital(sentence));
        }
        out.push_str("| Key | Type | Default | Meaning |\n|---|---|---|---|\n");
        for spec in keys {
            let default = if spec.default.is_empty() { String::new() } else { format!("`{}`", spec.default) };
            let aliases: String =
                spec.aliases.iter().map(|alias| format!(" Also `{}`.", alias_text(alias, spec))).collect();
            let file =
                if spec.secret { format!(" Or `{}-file`: a file that holds it.", spec.key) } else { String::new() };
            let doc = spec.doc.replace('|', "\\|");
            let _ = writeln!(out, "| `{}` | {} | {default} | {doc}{aliases}{file} |", spec.key, spec.kind);
        }
        out.push('\n');
    }
    out
}

/// Limits are known by their YAML names, with underscores.
fn alias_text(alias: &str, spec: &KeySpec) -> String {
    match alias.strip_prefix("limits.") {
        Some(_) => format!("limits.{}", spec.field),
        None => alias.to_owned(),
    }
}

/// Which keys to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// All, as resolved.
    All,
    /// Those that differ from their default.
    Diff,
    /// All at their defaults.
    Defaults,
}

/// The configuration as YAML that could be given again. Secrets are masked; values that came from variables are shown by the
/// name of the variable, because variables hold secrets.
pub fn show<S: Section>(section: &S, values: &Values, which: Show) -> String {
    let mut root = Mapping::new();
    for (spec, text) in S::keys().into_iter().zip(section.texts()) {
        let text = match which {
            Show::Defaults => spec.default.clone(),
            Show::Diff if text == spec.default => continue,
            Show::All | Show::Diff => values.template(spec.key).map_or_else(|| without_passwords(&text), str::to_owned),
        };
        insert(&mut root, spec.key, plain(&text, spec.kind));
    }
    if root.is_empty() {
        return "# everything is at its default\n".to_owned();
    }
    serde_yaml_ng::to_string(&root).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
}

fn plain(text: &str, kind: &str) -> Value {
    match kind {
        "bool" | "number" | "decimal" => serde_yaml_ng::from_str(text).unwrap_or_else(|_| Value::from(text)),
        "list" if !text.contains("${") => {
            Value::Sequence(text.split(',').filter(|part| !part.is_empty()).map(Value::from).collect())
        }
        _ => Value::from(text),
    }
}

fn insert(map: &mut Mapping, key: &str, value: Value) {
    let Some((head, rest)) = key.split_once('.') else {
        map.insert(Value::from(key), value);
        return;
    };
    let child = map.entry(Value::from(head)).or_insert_with(|| Value::Mapping(Mapping::new()));
    match child {
        Value::Mapping(child) => insert(child, rest, value),
        // A key that is also a group: written out flat, which reads the same.
        _ => {
            map.insert(Value::from(key), value);
        }
    }
}
