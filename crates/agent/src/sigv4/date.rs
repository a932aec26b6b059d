//! `20261122T074327Z` as a time.

/// Milliseconds since the Unix epoch; [`None`] where `text` is not of this form.
pub fn parse(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let has_form = bytes.len() == 16 && bytes[8] == b'T' && bytes[15] == b'Z';
    if !has_form {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text
            .get(from..to)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<u64>().ok()
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    let is_date = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some((((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

/// Days since the epoch. Years are counted from March, so that a leap day is a year's last.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    // Months from March on have 31, 30, 31, 30, 31 days, again and again.
    let days_before_month = (153 * month + 2) / 5;
    // 719,468 days lie between the first of March of the year 0 and the epoch.
    365 * year + leap_days + days_before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_times() {
        assert_eq!(parse("19700101T000000Z"), Some(0));
        assert_eq!(parse("20000229T000000Z"), Some(951_782_400_000));
        assert_eq!(parse("20261122T074327Z"), Some(1_795_333_407_000));
        for wrong in [
            "",
            "20261122T074327",
            "20261322T074327Z",
            "20261122T244327Z",
            "20261122 074327Z",
            "+0261122T074327Z",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
