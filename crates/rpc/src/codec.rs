//! Messages to and from bytes, as protobuf or as proto3 JSON (contract `wire.md` 8.6).

use bytes::Bytes;
use flamelake_model::{ErrorCode, StatusError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

/// How messages of a call are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Proto,
    Json,
}

impl Codec {
    /// Reads a message; `bytes` fields of a protobuf message are slices of `body`. `invalid_argument` when it is none.
    pub(crate) fn decode<M: prost::Message + Default + DeserializeOwned>(self, body: Bytes) -> Result<M, StatusError> {
        match self {
            Self::Proto => {
                M::decode(body).map_err(|error| StatusError::invalid_argument(format!("unmarshal message: {error}")))
            }
            Self::Json => decode_json(&body),
        }
    }

    /// Writes a message.
    pub(crate) fn encode<M: prost::Message + Serialize>(self, message: &M) -> Result<Bytes, StatusError> {
        match self {
            Self::Proto => Ok(message.encode_to_vec().into()),
            Self::Json => serde_json::to_vec(message)
                .map(Bytes::from)
                .map_err(|error| StatusError::new(ErrorCode::Internal, format!("marshal message: {error}"))),
        }
    }
}

fn decode_json<M: DeserializeOwned>(body: &[u8]) -> Result<M, StatusError> {
    if body.is_empty() {
        return Err(StatusError::invalid_argument("zero-length payload is not a valid JSON object"));
    }
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(StatusError::invalid_argument("payload is not a JSON object"));
    }
    serde_json::from_slice(body).or_else(|error| {
        decode_lenient(body).ok_or_else(|| StatusError::invalid_argument(format!("unmarshal message: {error}")))
    })
}

/// The generated readers refuse two spellings that proto3 JSON has: `null` for unset, and integers written as `1.0` or
/// `1e3`. Nobody sends them on a hot path, so they cost a second pass instead of slowing the first.
fn decode_lenient<M: DeserializeOwned>(body: &[u8]) -> Option<M> {
    let value: Value = serde_json::from_slice(body).ok()?;
    serde_json::from_value(plain(value)).ok()
}

fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(set_fields(fields)),
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        Value::Number(number) => Value::Number(integral(number)),
        other => other,
    }
}

fn set_fields(fields: Map<String, Value>) -> Map<String, Value> {
    fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, plain(value))).collect()
}

fn integral(number: Number) -> Number {
    /// Above this a double no longer tells neighbouring integers apart.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(value) if number.is_f64() && value.fract() == 0.0 && value.abs() <= EXACT_MAX => {
            Number::from(value as i64)
        }
        _ => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, prost::Message, serde::Serialize, serde::Deserialize)]
    #[serde(default)]
    struct Message {
        #[prost(string, tag = "1")]
        text: String,
        #[prost(int64, repeated, tag = "2")]
        numbers: Vec<i64>,
        #[prost(double, tag = "3")]
        step: f64,
    }

    fn read(json: &'static str) -> Option<Message> {
        Codec::Json.decode(Bytes::from_static(json.as_bytes())).ok()
    }

    #[test]
    fn null_is_unset_and_integers_may_look_like_doubles() {
        let message = |numbers: &[i64]| Some(Message { numbers: numbers.to_vec(), ..Message::default() });
        assert_eq!(read(r#"{"text":null,"numbers":null,"step":null}"#), message(&[]));
        assert_eq!(read(r#"{"numbers":[1.0,-2e3]}"#), message(&[1, -2000]));
        assert_eq!(read(r#"{"numbers":[1.5]}"#), None);
        assert_eq!(read(r#"{"numbers":[null]}"#), None);
        assert_eq!(read(r#"{"numbers":[1e30]}"#), None);
        assert_eq!(read(r#" {"text":null,"step":2.5} "#), Some(Message { step: 2.5, ..Message::default() }));
    }

    #[test]
    fn only_objects_are_messages() {
        for json in ["", "[]", "null", "7", "{} {}", r#"{"text":"a""#] {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
