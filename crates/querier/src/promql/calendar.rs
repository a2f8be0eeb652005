//! Parts of a date in UTC.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};

/// The date of a number of seconds since the epoch; `None` beyond all calendars.
pub(crate) fn date(seconds: f64) -> Option<DateTime<Utc>> {
    if !seconds.is_finite() {
        return None;
    }
    DateTime::from_timestamp(seconds as i64, 0)
}

pub(crate) fn minute(at: &DateTime<Utc>) -> u32 {
    at.minute()
}

pub(crate) fn hour(at: &DateTime<Utc>) -> u32 {
    at.hour()
}

/// 0 is Sunday.
pub(crate) fn day_of_week(at: &DateTime<Utc>) -> u32 {
    at.weekday().num_days_from_sunday()
}

pub(crate) fn day_of_month(at: &DateTime<Utc>) -> u32 {
    at.day()
}

pub(crate) fn day_of_year(at: &DateTime<Utc>) -> u32 {
    at.ordinal()
}

pub(crate) fn days_in_month(at: &DateTime<Utc>) -> u32 {
    u32::from(at.num_days_in_month())
}

pub(crate) fn month(at: &DateTime<Utc>) -> u32 {
    at.month()
}

/// Of our era.
pub(crate) fn year(at: &DateTime<Utc>) -> u32 {
    u32::try_from(at.year()).unwrap_or_default()
}
