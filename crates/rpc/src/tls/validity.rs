//! From when until when certificates hold, so that somebody is told before they end.
//!
//! Only the two times are read of a certificate, by walking its DER as far as they stand; rustls has judged everything else.

use chrono::NaiveDate;

use super::files::{Pem, TlsError};

/// What a file of certificates is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateUse {
    /// Shown to the other side, with those that lead to its authority: ends when the first of them ends.
    Own,
    /// Whom this side believes: ends when the last of them ends.
    Authorities,
}

/// Unix times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// It holds from here on.
    pub from: i64,
    /// It holds until here.
    pub until: i64,
}

impl Validity {
    /// Of the certificates of a PEM file; `None` if their times cannot be read.
    pub fn of_file(path: &std::path::Path, used_as: CertificateUse) -> Result<Option<Self>, TlsError> {
        Self::of(&Pem::read(path)?, used_as)
    }

    pub(super) fn of(pem: &Pem, used_as: CertificateUse) -> Result<Option<Self>, TlsError> {
        let certificates = pem.certificates()?;
        let all = certificates.iter().filter_map(|certificate| of_der(certificate));
        Ok(match used_as {
            CertificateUse::Own => all.min_by_key(|validity| validity.until),
            CertificateUse::Authorities => all.max_by_key(|validity| validity.until),
        })
    }
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// RFC 5280 section 4.1: a sequence that begins with a sequence of version, serial number, algorithm, issuer and validity.
fn of_der(certificate: &[u8]) -> Option<Validity> {
    let (to_be_signed, _) = element(element(certificate, SEQUENCE)?.0, SEQUENCE)?;
    let after_version = element(to_be_signed, VERSION).map_or(to_be_signed, |(_, rest)| rest);
    let (_, rest) = element(after_version, INTEGER)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (times, _) = element(rest, SEQUENCE)?;
    let (from, rest) = time(times)?;
    let (until, _) = time(rest)?;
    Some(Validity { from, until })
}

/// Contents of the first element, and what follows it; `None` if it has another tag or does not end.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, first, rest @ ..] = bytes else { return None };
    if *found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        // The next bytes are the length; four are enough for any file that is read.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
            (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A time and what follows it.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (digits, rest, year_digits) = match bytes.first()? {
        &UTC_TIME => element(bytes, UTC_TIME).map(|(digits, rest)| (digits, rest, 2))?,
        _ => element(bytes, GENERALIZED_TIME).map(|(digits, rest)| (digits, rest, 4))?,
    };
    let digits = std::str::from_utf8(digits).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.len() != year_digits + 10 {
        return None;
    }
    let (year, others) = digits.split_at(year_digits);
    let year: i32 = year.parse().ok()?;
    // Two digits are years from 1950 to 2049.
    let year = match year_digits {
        2 if year < 50 => year + 2000,
        2 => year + 1900,
        _ => year,
    };
    let part = |at: usize| others.get(at..at + 2)?.parse::<u32>().ok();
    let date = NaiveDate::from_ymd_opt(year, part(0)?, part(2)?)?;
    Some((date.and_hms_opt(part(4)?, part(6)?, part(8)?)?.and_utc().timestamp(), rest))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use flamelake_testkit::certificates::Authority;
    use proptest::prelude::*;

    use super::*;

    fn time_of(tag: u8, text: &str) -> Option<i64> {
        let bytes = [&[tag, text.len() as u8], text.as_bytes()].concat();
        time(&bytes).map(|(time, _)| time)
    }

    #[test]
    fn times_are_read_as_rfc_5280_writes_them() {
        assert_eq!(time_of(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(time_of(UTC_TIME, "261128203000Z"), Some(1_795_897_800));
        assert_eq!(time_of(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(time_of(UTC_TIME, "500101000000Z"), Some(-631_152_000));
        assert_eq!(time_of(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        for wrong in ["", "Z", "2611282030Z", "261128203000", "26112820300xZ", "261328203000Z", "261128250000Z"] {
            assert_eq!(time_of(UTC_TIME, wrong), None, "{wrong}");
        }
        assert_eq!(time_of(INTEGER, "261128203000Z"), None);
    }

    /// What openssl says of the same file, as seconds.
    fn told(file: &std::path::Path, which: &str) -> i64 {
        let output = Command::new("openssl").args(["x509", "-noout", which, "-in"]).arg(file).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let date = text.trim().split_once('=').unwrap().1.to_owned();
        let seconds = Command::new("date").args(["-u", "+%s", "-d", &date]).output().unwrap();
        String::from_utf8(seconds.stdout).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn real_certificates_hold_as_long_as_openssl_says() {
        let Some(authority) = Authority::new("real_certificates_hold") else { return };
        let own = authority.issue("own");
        for (file, used_as) in
            [(own.certificate, CertificateUse::Own), (authority.certificate(), CertificateUse::Authorities)]
        {
            let validity = Validity::of_file(&file, used_as).unwrap().unwrap();
            assert_eq!((validity.from, validity.until), (told(&file, "-startdate"), told(&file, "-enddate")));
        }
        assert!(Validity::of_file(&own.key, CertificateUse::Own).is_err(), "a key is no certificate");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = of_der(&bytes);
            let _ = of_der(&[&[SEQUENCE, 0x82, 0, bytes.len() as u8][..], &bytes].concat());
        }
    }
}
