//! Which failures may pass, and how long to wait for that. Pure.

use std::time::{Duration, SystemTime};

use super::Patience;

/// The longest that a registry can make us wait before one retry.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this status, and this `Retry-After` in seconds.
    Status(u16, Option<u64>),
    /// Without an answer, though there was a connection.
    Broken,
    /// Without a connection.
    Unreachable,
}

/// The seconds that a `Retry-After` asks for: a number, or a date (RFC 9110, 10.2.3).
#[must_use]
pub fn parse_after(text: &str, now: SystemTime) -> Option<u64> {
    let text = text.trim();
    let until = || {
        Some(
            httpdate::parse_http_date(text)
                .ok()?
                .duration_since(now)
                .unwrap_or_default(),
        )
    };
    text.parse().ok().or_else(|| until().map(|left| left.as_secs()))
}

/// How long to wait before retry number `retry` (from 0), or nothing if the outcome stands.
#[must_use]
pub fn pause(outcome: Outcome, retry: u32, patience: &Patience) -> Option<Duration> {
    if retry >= patience.retries_max {
        return None;
    }
    let doubled = patience.retry_pause.saturating_mul(2_u32.saturating_pow(retry));
    let pause = match outcome {
        Outcome::Status(429 | 500 | 502 | 503 | 504, Some(seconds)) => Duration::from_secs(seconds),
        Outcome::Status(429 | 500 | 502 | 503 | 504, None) | Outcome::Broken => doubled,
        Outcome::Status(..) | Outcome::Unreachable => return None,
    };
    Some(pause.min(PAUSE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(outcome: Outcome, retry: u32, seconds: Option<u64>) {
        let patience = Patience {
            retry_pause: Duration::from_secs(1),
            retries_max: 3,
            ..Patience::default()
        };
        assert_eq!(pause(outcome, retry, &patience), seconds.map(Duration::from_secs));
    }

    #[test]
    fn pauses_double_and_end() {
        check(Outcome::Broken, 0, Some(1));
        check(Outcome::Status(503, None), 2, Some(4));
        check(Outcome::Broken, 3, None);
    }

    #[test]
    fn the_registry_may_say_how_long_within_a_bound() {
        check(Outcome::Status(429, Some(7)), 0, Some(7));
        check(Outcome::Status(429, Some(86_400)), 0, Some(60));
    }

    #[test]
    fn a_wait_is_a_number_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (text, seconds) in [
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(parse_after(text, now), seconds, "{text}");
        }
    }

    #[test]
    fn answers_stand() {
        check(Outcome::Status(200, None), 0, None);
        check(Outcome::Status(404, Some(1)), 0, None);
        check(Outcome::Unreachable, 0, None);
    }
}
