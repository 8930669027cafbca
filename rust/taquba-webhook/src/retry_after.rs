//! When a receiver asks to be tried again: the header `Retry-After` (RFC 9110, section 10.2.3).
//!
//! A date is compared with the date of the same answer, so a receiver whose clock is wrong is still
//! understood, and this file needs no clock. A date without that is ignored.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use crate::limits::RETRY_AFTER_MAX;

/// The three forms that a recipient has to read (RFC 9110, section 5.6.7); the first one also has a
/// parser of its own.
const DATE_FORMS: [&str; 3] =
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// How long to wait, at most [`RETRY_AFTER_MAX`]; `None` if the answer does not say.
pub fn read(headers: &HeaderMap) -> Option<Duration> {
    let asked = text(headers, &RETRY_AFTER)?;
    let wait = seconds(asked).or_else(|| {
        let until = epoch_seconds(asked)?.checked_sub(epoch_seconds(text(headers, &DATE)?)?)?;
        Some(Duration::from_secs(u64::try_from(until).unwrap_or(0)))
    })?;
    Some(wait.min(RETRY_AFTER_MAX))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Digits only; a number that fits nothing is a long time.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

fn epoch_seconds(text: &str) -> Option<i64> {
    let parsed = DATE_FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let instant = parsed.map(|date| date.and_utc().timestamp());
    instant.or_else(|| Some(DateTime::parse_from_rfc2822(text).ok()?.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(retry_after: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().expect("a header value"));
        if let Some(date) = date {
            headers.insert(DATE, date.parse().expect("a header value"));
        }
        read(&headers)
    }

    #[test]
    fn seconds_are_read_and_bounded() {
        let day = Some(RETRY_AFTER_MAX);
        for (given, wanted) in [
            ("0", Some(Duration::ZERO)),
            ("120", Some(Duration::from_secs(120))),
            (" 7 ", Some(Duration::from_secs(7))),
            ("86401", day),
            ("99999999999999999999999999", day),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("+1", None),
            ("soon", None),
        ] {
            assert_eq!(read_with(given, None), wanted, "of `{given}`");
        }
    }

    #[test]
    fn a_date_is_read_against_the_date_of_the_answer() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for (given, wanted) in [
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(Duration::from_secs(60))),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(Duration::from_secs(60))),
            ("Sun Nov  6 08:50:37 1994", Some(Duration::from_secs(60))),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(Duration::ZERO)),
            ("Sun, 06 Nov 2094 08:49:37 GMT", None),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(RETRY_AFTER_MAX)),
        ] {
            assert_eq!(read_with(given, date), wanted, "of `{given}`");
        }
    }

    #[test]
    fn a_date_alone_says_nothing() {
        assert_eq!(read_with("Sun, 06 Nov 1994 08:50:37 GMT", None), None);
        assert_eq!(read_with("Sun, 06 Nov 1994 08:50:37 GMT", Some("today")), None);
    }
}
