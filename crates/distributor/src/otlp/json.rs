//! Fields that JSON writes in another way than serde expects: 64-bit numbers as texts, bytes as base64 or, by OTLP's own rule for ids, hex.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// A number, or its text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number<T> {
    Number(T),
    Text(String),
}

impl<T: FromStr<Err: Display>> Number<T> {
    fn read<E: serde::de::Error>(self) -> Result<T, E> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Text(text) => text.parse().map_err(E::custom),
        }
    }
}

pub(super) fn number<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    Number::deserialize(from)?.read()
}

pub(super) fn optional_number<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    Option::<Number<T>>::deserialize(from)?.map(Number::read).transpose()
}

pub(super) fn numbers<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de> + FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    Vec::<Number<T>>::deserialize(from)?.into_iter().map(Number::read).collect()
}

/// As protobuf writes 64-bit numbers in JSON. Takes a reference because serde does.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
pub(super) fn text<S: Serializer>(number: &i64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(number)
}

pub(super) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    if matches!(text.len(), 16 | 32)
        && let Some(id) = hex(&text)
    {
        return Ok(id);
    }
    STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text)).map_err(D::Error::custom)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|char| char.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
