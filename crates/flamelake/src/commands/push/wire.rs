//! How a file that is no pprof goes over the wire: `POST /ingest` with what its format does not say in the query, or OTLP.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::Push;
use super::format::Format;
use crate::commands::client::{CallError, Client};

const OTLP_PATH: &str = "v1development/profiles";

/// A body and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Post {
    path: String,
    content_type: &'static str,
    body: Bytes,
    answer: Answer,
}

/// How the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// With nothing.
    Empty,
    Protobuf,
    Json,
}

/// `ExportProfilesServiceResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Exported {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_profiles: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// Prepares a body that has been unpacked.
pub(super) fn post(push: &Push, format: Format, body: Vec<u8>) -> anyhow::Result<Post> {
    let (path, content_type, answer) = match format {
        Format::Otlp => (otlp(push)?, "application/x-protobuf", Answer::Protobuf),
        Format::OtlpJson => (otlp(push)?, "application/json", Answer::Json),
        _ => (ingest(push, format)?, "application/octet-stream", Answer::Empty),
    };
    Ok(Post { path, content_type, body: body.into(), answer })
}

fn otlp(push: &Push) -> anyhow::Result<String> {
    if !push.labels.is_empty() || push.now {
        bail!("OTLP carries its own labels and times: leave --label and --now out");
    }
    Ok(OTLP_PATH.to_owned())
}

/// The query of `/ingest`: the name is `service.kind{label=value,…}`.
fn ingest(push: &Push, format: Format) -> anyhow::Result<String> {
    let service = push.label("service_name").unwrap_or("unknown_service");
    let is_app = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    // Any text may be a label, not any text an application.
    let mut name = if service.chars().all(is_app) { service.to_owned() } else { "push".to_owned() };
    if format.has_no_types() {
        name = format!("{name}.{}", push.kind);
    }
    let mut labels = Vec::new();
    for (label, value) in &push.labels {
        if label == "__name__" {
            bail!("the label __name__ is of pprof alone; --kind says what a {} file measures", format.word());
        }
        if value.contains([',', '}']) || value.trim() != value {
            bail!(
                "the value of {label} cannot be sent with a {} file: no commas, braces or spaces at its ends",
                format.word()
            );
        }
        labels.push(format!("{label}={value}"));
    }
    let name = format!("{name}{{{}}}", labels.join(","));
    let rate = push.sample_rate.to_string();
    let mut query = Serializer::new(String::new());
    query.append_pair("name", &name).append_pair("format", format.word()).append_pair("sampleRate", &rate);
    query.append_pair("spyName", "flamelake-push");
    Ok(format!("ingest?{}", query.finish()))
}

impl Post {
    pub(super) async fn send(&self, client: &Client) -> Result<(), CallError> {
        let answer = client.post_body(&self.path, self.content_type, self.body.clone()).await?;
        match self.answer.rejected(answer).context("the server's answer is not understood")? {
            (0, _) => Ok(()),
            (profiles, why) => Err(CallError::Refused {
                code: "invalid_argument".to_owned(),
                message: format!("{profiles} profiles of it were not stored: {why}"),
            }),
        }
    }
}

impl Answer {
    /// How many profiles were not stored, and why.
    fn rejected(self, answer: Bytes) -> anyhow::Result<(i64, String)> {
        match self {
            Self::Empty => Ok((0, String::new())),
            Self::Protobuf => {
                let partial = Exported::decode(answer)?.partial_success.unwrap_or_default();
                Ok((partial.rejected_profiles, partial.error_message))
            }
            Self::Json => {
                let answer: Value = serde_json::from_slice(&answer)?;
                let (profiles, why) =
                    (&answer["partialSuccess"]["rejectedProfiles"], &answer["partialSuccess"]["errorMessage"]);
                // 64-bit numbers are text in protobuf's JSON.
                let profiles = profiles.as_i64().or_else(|| profiles.as_str()?.parse().ok()).unwrap_or_default();
                Ok((profiles, why.as_str().unwrap_or_default().to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Target;

    fn path(labels: &[(&str, &str)], format: Format) -> Result<String, String> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let push = Push {
            files: Vec::new(),
            format: None,
            kind: "wall".to_owned(),
            sample_rate: 99,
            labels,
            now: false,
            target: Target::default(),
        };
        post(&push, format, Vec::new()).map(|post| post.path).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_format_does_not_say_stands_in_the_query() {
        for (labels, format, wanted) in [
            (&[("service_name", "a")][..], Format::Folded, "a.wall{service_name=a}&format=folded"),
            (&[("service_name", "a"), ("k", "v w")], Format::Jfr, "a{service_name=a,k=v+w}&format=jfr"),
            (&[("service_name", "ö")], Format::Trie, "push.wall{service_name=ö}&format=trie"),
            (&[], Format::Speedscope, "unknown_service.wall{}&format=speedscope"),
        ] {
            let path = path(labels, format).unwrap();
            let name: String = form(&path);
            assert_eq!(name, format!("name={}&sampleRate=99&spyName=flamelake-push", wanted.replace('+', " ")));
        }
    }

    fn form(path: &str) -> String {
        let query = path.strip_prefix("ingest?").unwrap();
        let pairs = url::form_urlencoded::parse(query.as_bytes()).map(|(key, value)| format!("{key}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        for (labels, format, says) in [
            (
                ("a", "b,c"),
                Format::Lines,
                "the value of a cannot be sent with a lines file: no commas, braces or spaces at its ends",
            ),
            (
                ("__name__", "x"),
                Format::Jfr,
                "the label __name__ is of pprof alone; --kind says what a jfr file measures",
            ),
            (("a", "b"), Format::Otlp, "OTLP carries its own labels and times: leave --label and --now out"),
        ] {
            assert_eq!(path(&[labels], format), Err(says.to_owned()));
        }
    }

    #[test]
    fn partial_success_is_told() {
        let partial = PartialSuccess { rejected_profiles: 2, error_message: "old".to_owned() };
        let protobuf = Exported { partial_success: Some(partial) }.encode_to_vec();
        let json = br#"{"partialSuccess":{"rejectedProfiles":"2","errorMessage":"old"}}"#.to_vec();
        for (answer, body) in [(Answer::Protobuf, protobuf), (Answer::Json, json)] {
            assert_eq!(answer.rejected(body.into()).unwrap(), (2, "old".to_owned()));
        }
        for (answer, body) in [(Answer::Protobuf, ""), (Answer::Json, "{}"), (Answer::Empty, "")] {
            assert_eq!(answer.rejected(body.into()).unwrap().0, 0);
        }
    }
}
