//! A number of bytes, written `64MiB`.

use std::fmt;

/// Bytes. `KiB`, `MiB`, … (or `Ki`, `Mi`) are powers of 1024; `KB`, `MB`, … (or `K`, `M`) powers of 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

const BINARY: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl ByteSize {
    /// Reads `64MiB`, `1.5GiB`, `100MB` or plain bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
        decimal_times(number, unit_bytes(unit.trim())?).map(Self)
    }

    /// As a number of bytes in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

fn unit_bytes(unit: &str) -> Option<u64> {
    let lower = unit.to_ascii_lowercase();
    let power = match lower.chars().next() {
        None | Some('b') => 0,
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some(_) => return None,
    };
    let rest = if power == 0 { lower.as_str() } else { &lower[1..] };
    match rest {
        "i" | "ib" if power > 0 => Some(1024_u64.pow(power)),
        "" | "b" => Some(1000_u64.pow(power)),
        _ => None,
    }
}

/// `number` (digits with at most one point) times `unit`, exact, rounded down; `None` if it is no number or too large.
pub(crate) fn decimal_times(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) || fraction.len() > 18 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction_digits = u32::try_from(fraction.len()).ok()?;
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = u128::from(fraction) * u128::from(unit) / 10_u128.pow(fraction_digits);
    whole.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = BINARY.iter().find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes));
        match unit {
            Some((name, bytes)) => write!(f, "{}{name}", self.0 / bytes),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("64MiB", 64 << 20),
            ("64Mi", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("100MB", 100_000_000),
            ("2k", 2000),
            ("1 KiB", 1024),
            ("12B", 12),
        ] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
        }
        for bad in ["", "MiB", "-1", "1.2.3", "5 furlongs", "1iB", "99999999999TiB", "1µ"] {
            assert_eq!(ByteSize::parse(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn written_sizes_read_the_same(bytes: u64) {
            proptest::prop_assert_eq!(ByteSize::parse(&ByteSize(bytes).to_string()), Some(ByteSize(bytes)));
        }
    }
}
