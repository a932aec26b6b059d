//! Moments as people and protocols write them: RFC 3339, in UTC, from 1970 to 9999.

const DAY_SECONDS: u64 = 86_400;
const YEAR_FIRST: u64 = 1970;
const YEAR_LAST: u64 = 9999;

/// A moment, in milliseconds since the Unix epoch, as RFC 3339 has it: `2026-11-22T10:00:00.000Z`.
#[must_use]
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
    format!(
        "{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z",
        days + 1
    )
}

/// The moment that `text` names, in milliseconds since the Unix epoch (RFC 3339, 5.6); the time of day, its seconds and the zone may be left out.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<u64> {
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

/// The first three decimals.
#[must_use]
pub fn thousandths(decimals: &str) -> Option<u64> {
    if decimals.is_empty() || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{decimals:0<3}");
    padded[..3].parse().ok()
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
    let (hours, minutes): (u8, u8) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minutes = i64::from(hours) * 60 + i64::from(minutes);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(parse_rfc3339(text), expected, "{text}");
    }

    #[test]
    fn a_moment_may_leave_out_what_is_zero() {
        check("2026-11-22T10:00:00Z", Some(1_795_341_600_000));
        check("2026-11-22T10:00:00.25+02:00", Some(1_795_334_400_250));
        check("2026-11-22 10:00", Some(1_795_341_600_000));
        check("2024-02-29", Some(1_709_164_800_000));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026-02-29",
            "2026-13-01",
            "1969-12-31",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10",
            "2026-11-22T10:00:00+2",
        ] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(unix_ms in 0..253_402_300_800_000_u64) {
            prop_assert_eq!(parse_rfc3339(&rfc3339(unix_ms)), Some(unix_ms));
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            let _ = parse_rfc3339(&text);
        }

        #[test]
        fn arbitrary_times_are_shown(unix_ms: u64) {
            prop_assert!(!rfc3339(unix_ms).is_empty());
        }
    }
}
