//! The query parameter `name`: `app.name{key=value,key2=value2}` (contract `ingest.md` section 4.1).

use std::collections::BTreeMap;

use flamelake_model::label_name;

/// A parsed name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AppName {
    /// What stands before the braces.
    pub(crate) app: String,
    /// What stands within; the last of a name wins.
    pub(crate) labels: BTreeMap<String, String>,
}

impl AppName {
    /// The error is a text for the caller.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (app, labels) = text.split_once('{').map_or((text, ""), |(app, labels)| (app, labels));
        let mut name = Self { app: checked_app(app.trim())?.to_owned(), labels: BTreeMap::new() };
        // What follows the closing brace is not looked at; without one the last label is kept all the same.
        let labels = labels.split_once('}').map_or(labels, |(labels, _)| labels);
        for pair in labels.split(',').filter(|pair| !pair.trim().is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            name.labels.insert(checked_label(key.trim())?.to_owned(), value.trim().to_owned());
        }
        if let Some(app) = name.labels.remove(label_name::NAME).filter(|app| !app.is_empty()) {
            name.app = checked_app(&app)?.to_owned();
        }
        Ok(name)
    }
}

fn checked_app(app: &str) -> Result<&str, String> {
    if app.is_empty() {
        return Err("name: service name is required".to_owned());
    }
    match app.chars().find(|c| !(c.is_ascii_alphanumeric() || "_./-".contains(*c))) {
        Some(c) => Err(format!("name: invalid service name: {}: character is not allowed: {c:?}", short(app))),
        None => Ok(app),
    }
}

fn checked_label(name: &str) -> Result<&str, String> {
    if name.is_empty() {
        return Err("name: label name is required".to_owned());
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || "_.".contains(*c))) {
        Some(c) => Err(format!("name: invalid label name: {}: character is not allowed: {c:?}", short(name))),
        None => Ok(name),
    }
}

/// A hostile name must not make the answer huge.
fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(256)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        AppName::parse(text).map(|name| format!("{} {:?}", name.app, name.labels))
    }

    #[test]
    fn names_with_labels() {
        assert_eq!(parse(" my.app-1/x "), Ok("my.app-1/x {}".to_owned()));
        assert_eq!(parse("a{b = c d , e=f=g,b=h}rest"), Ok(r#"a {"b": "h", "e": "f=g"}"#.to_owned()));
        assert_eq!(parse("a{b=c"), Ok(r#"a {"b": "c"}"#.to_owned()));
        assert_eq!(parse("a{__name__=z}"), Ok("z {}".to_owned()));
        assert_eq!(parse("a{}"), Ok("a {}".to_owned()));
    }

    #[test]
    fn what_is_none_is_refused() {
        assert_eq!(parse(""), Err("name: service name is required".to_owned()));
        assert_eq!(parse("{a=b}"), Err("name: service name is required".to_owned()));
        assert_eq!(parse("a b"), Err("name: invalid service name: a b: character is not allowed: ' '".to_owned()));
        assert_eq!(parse("a{=b}"), Err("name: label name is required".to_owned()));
        assert_eq!(parse("a{ö=b}"), Err("name: invalid label name: ö: character is not allowed: 'ö'".to_owned()));
    }
}
