//! The types a key may have, and how each is written.

use std::str::FromStr;
use std::time::Duration;

use crate::{ByteSize, Secret, format_duration, parse_duration};

/// A value that a person writes as text.
pub trait FromText: Sized {
    /// What the documentation calls it.
    const KIND: &'static str;
    /// What an error says is expected, with an example.
    const EXPECTED: &'static str;
    /// Masked wherever it is shown.
    const SECRET: bool = false;

    /// Reads it; `None` = it is not one.
    fn from_text(text: &str) -> Option<Self>;

    /// Writes it so that [`FromText::from_text`] reads the same, secrets excepted.
    fn to_text(&self) -> String;
}

impl FromText for bool {
    const KIND: &'static str = "bool";
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => Some(true),
            "false" | "0" | "f" => Some(false),
            _ => None,
        }
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

macro_rules! number {
    ($type:ty, $kind:literal, $expected:literal) => {
        impl FromText for $type {
            const KIND: &'static str = $kind;
            const EXPECTED: &'static str = $expected;

            fn from_text(text: &str) -> Option<Self> {
                <$type>::from_str(text).ok()
            }

            fn to_text(&self) -> String {
                self.to_string()
            }
        }
    };
}

number!(u16, "number", "a whole number from 0 to 65535");
number!(u32, "number", "a whole number that is not negative");
number!(u64, "number", "a whole number that is not negative");
number!(usize, "number", "a whole number that is not negative");
number!(i64, "number", "a whole number");

impl FromText for f64 {
    const KIND: &'static str = "decimal";
    const EXPECTED: &'static str = "a number such as 4 or 0.5";

    fn from_text(text: &str) -> Option<Self> {
        f64::from_str(text).ok().filter(|number| number.is_finite())
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl FromText for String {
    const KIND: &'static str = "text";
    const EXPECTED: &'static str = "text";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn to_text(&self) -> String {
        self.clone()
    }
}

impl FromText for Vec<String> {
    const KIND: &'static str = "list";
    const EXPECTED: &'static str = "texts with commas between";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    fn to_text(&self) -> String {
        self.join(",")
    }
}

impl FromText for Duration {
    const KIND: &'static str = "duration";
    const EXPECTED: &'static str = "a duration such as 1h30m, 7d, 1.5h, 500ms or 0";

    fn from_text(text: &str) -> Option<Self> {
        parse_duration(text)
    }

    fn to_text(&self) -> String {
        format_duration(*self)
    }
}

impl FromText for ByteSize {
    const KIND: &'static str = "size";
    const EXPECTED: &'static str = "a size such as 64MiB, 1.5GiB, 100MB or a number of bytes";

    fn from_text(text: &str) -> Option<Self> {
        ByteSize::parse(text)
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl FromText for Secret {
    const KIND: &'static str = "secret";
    const EXPECTED: &'static str = "text";
    const SECRET: bool = true;

    fn from_text(text: &str) -> Option<Self> {
        Some(Secret::new(text))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}
