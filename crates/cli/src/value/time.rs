//! Times, as people write and read them.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use api::calendar::{parse_rfc3339, thousandths};

/// A time span in whole seconds: a bare number, or `1h30m`, `90s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ms = text.parse().ok().and_then(|seconds: u64| seconds.checked_mul(1000));
        let ms = ms.or_else(|| span_ms(text)).filter(|ms| ms % 1000 == 0);
        ms.and_then(|ms| u32::try_from(ms / 1000).ok())
            .map(Self)
            .ok_or_else(|| "write whole seconds, or a time span such as 90s, 5m or 1h30m".to_owned())
    }
}

/// A moment: a time span before now, seconds since the Unix epoch, or RFC 3339, in which the time of day and the zone may be left out (then UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        // A clock before 1970 makes every age zero.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Self { unix_ms }
    }

    fn parse(text: &str, now: Self) -> Option<Self> {
        let unix_ms = match span_ms(text) {
            Some(span_ms) => Some(now.unix_ms.saturating_sub(span_ms)),
            None => unix_seconds_ms(text).or_else(|| parse_rfc3339(text)),
        };
        unix_ms.map(|unix_ms| Self { unix_ms })
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, Self::now()).ok_or_else(|| {
            "write a time span before now, such as 10m, or a time, such as 2026-11-22T10:00:00Z".to_owned()
        })
    }
}

/// `1h30m10s500ms`: numbers with units, the largest first.
fn span_ms(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 5] = [
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let (mut rest, mut total_ms, mut unit_before_ms) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
        let unit = &rest[digits..digits + letters];
        let (_, unit_ms) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        if unit_ms >= unit_before_ms {
            return None;
        }
        total_ms = total_ms.checked_add(number.checked_mul(unit_ms)?)?;
        unit_before_ms = unit_ms;
        rest = &rest[digits + letters..];
    }
    (!text.is_empty()).then_some(total_ms)
}

/// `1763805600` or `1763805600.25`.
fn unix_seconds_ms(text: &str) -> Option<u64> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: u64 = seconds.parse().ok()?;
    seconds.checked_mul(1000)?.checked_add(thousandths(decimals)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment { unix_ms: 10_000_000 };

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(
            Moment::parse(text, NOW).map(|moment| moment.unix_ms),
            expected,
            "{text}"
        );
    }

    #[test]
    fn a_moment_is_written_in_three_ways() {
        check("10m", Some(9_400_000));
        check("1h", Some(6_400_000));
        check("10d", Some(0));
        check("1.5", Some(1500));
        check("1700000000", Some(1_700_000_000_000));
        check("2026-11-22T10:00:00Z", Some(1_795_341_600_000));
        check("2026-11-22T10:00:00.25+02:00", Some(1_795_334_400_250));
        check("2026-11-22 10:00", Some(1_795_341_600_000));
        check("2024-02-29", Some(1_709_164_800_000));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "m",
            "10x",
            "5m1h",
            "2026-02-29",
            "2026-13-01",
            "1969-12-31",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10",
            "1.",
            "-5",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_time_span_is_whole_seconds() {
        assert_eq!("90".parse(), Ok(Seconds(90)));
        assert_eq!("1h30m".parse(), Ok(Seconds(5400)));
        assert_eq!("2000ms".parse(), Ok(Seconds(2)));
        for text in ["500ms", "", "s", "1x", "-1"] {
            assert!(text.parse::<Seconds>().is_err(), "{text}");
        }
    }
}
