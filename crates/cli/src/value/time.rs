//! Times, as people write and read them.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY_SECONDS: u64 = 86_400;

/// Years before this cannot be written, for no task is that old; years after [`YEAR_LAST`] neither.
const YEAR_FIRST: u64 = 1970;
const YEAR_LAST: u64 = 9999;

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
            None => unix_seconds_ms(text).or_else(|| rfc3339_ms(text)),
        };
        unix_ms.map(|unix_ms| Self { unix_ms })
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, Self::now())
            .ok_or_else(|| "write a time span before now, such as 10m, or a time, such as 2026-11-22T10:00:00Z".to_owned())
    }
}

/// `1h30m10s500ms`: numbers with units, the largest first.
fn span_ms(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
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

/// The first three decimals.
fn thousandths(decimals: &str) -> Option<u64> {
    if decimals.is_empty() || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{decimals:0<3}");
    padded[..3].parse().ok()
}

/// RFC 3339, 5.6.
fn rfc3339_ms(text: &str) -> Option<u64> {
    let (date, clock) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00:00Z"));
    let mut date = date.split('-');
    let (year, month, day) = (date.next()?, date.next()?, date.next()?);
    if year.len() != 4 || date.next().is_some() {
        return None;
    }
    let days = days_before(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)?;
    let (clock, offset_minutes) = split_zone(clock)?;
    let (clock, decimals) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.split(':').map(str::parse::<u64>);
    let (hour, minute) = (clock.next()?.ok()?, clock.next()?.ok()?);
    let second = clock.next().unwrap_or(Ok(0)).ok()?;
    if hour > 23 || minute > 59 || second > 60 || clock.next().is_some() {
        return None;
    }
    let local_seconds = i64::try_from(days * DAY_SECONDS + hour * 3600 + minute * 60 + second).ok()?;
    let seconds = u64::try_from(local_seconds - offset_minutes * 60).ok()?;
    Some(seconds * 1000 + thousandths(decimals)?)
}

/// The time of day without its zone, and how many minutes the zone is ahead of UTC.
fn split_zone(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = clock.find(['+', '-']) else {
        return Some((clock, 0));
    };
    let (clock, zone) = clock.split_at(at);
    let (hours, minutes) = zone[1..].split_once(':')?;
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    Some((clock, if zone.starts_with('-') { -minutes } else { minutes }))
}

/// The days from 1970-01-01 to this one.
fn days_before(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(YEAR_FIRST..=YEAR_LAST).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    if day < 1 || day > days_in(year, month) {
        return None;
    }
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    Some(days_before_year(year) + months + day - 1)
}

/// The days from 1970-01-01 to the first of a year not before that.
const fn days_before_year(year: u64) -> u64 {
    const fn leap_years_before(year: u64) -> u64 {
        let last = year - 1;
        last / 4 - last / 100 + last / 400
    }
    (year - YEAR_FIRST) * 365 + leap_years_before(year) - leap_years_before(YEAR_FIRST)
}

const fn days_in(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A time as RFC 3339 has it, in UTC, to the millisecond.
pub fn rfc3339(unix_ms: u64) -> String {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (mut days, seconds) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
    let mut year = (YEAR_FIRST + days / 366).min(YEAR_LAST);
    while year < YEAR_LAST && days_before_year(year + 1) <= days {
        year += 1;
    }
    days -= days_before_year(year);
    let mut month = 1;
    while month < 12 && days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z", days + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Moment = Moment { unix_ms: 10_000_000 };

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(Moment::parse(text, NOW).map(|moment| moment.unix_ms), expected, "{text}");
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
            "", "m", "10x", "5m1h", "2026-02-29", "2026-13-01", "1969-12-31", "2026-11-22T24:00:00Z", "2026-11-22T10", "1.", "-5",
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

    proptest! {
        #[test]
        fn what_is_written_is_read_again(unix_ms in 0..253_402_300_800_000_u64) {
            prop_assert_eq!(rfc3339_ms(&rfc3339(unix_ms)), Some(unix_ms));
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            let _ = Moment::parse(&text, NOW);
        }

        #[test]
        fn arbitrary_times_are_shown(unix_ms: u64) {
            prop_assert!(!rfc3339(unix_ms).is_empty());
        }
    }
}
