//! How much in a second.

use std::str::FromStr;

use super::scaled;

/// Bytes in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

/// Why a rate is not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write bytes in a second, more than none: a whole number, or one with the unit k, m or g, such as 500k or 10m")]
pub struct RateError;

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let lower = text.to_ascii_lowercase();
        let bytes = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
        let (number, unit_kib) = scaled(bytes).ok_or(RateError)?;
        match number.checked_mul(unit_kib.map_or(1, |kib| kib << 10)) {
            Some(0) | None => Err(RateError),
            Some(rate) => Ok(Self(rate)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(text.parse::<Rate>().ok().map(|rate| rate.0), expected, "{text}");
    }

    #[test]
    fn a_rate_takes_units_as_docker_does() {
        check("1", Some(1));
        check("512b", Some(512));
        check("500k", Some(500 << 10));
        check("10mb", Some(10 << 20));
        check("2GiB", Some(2 << 30));
    }

    #[test]
    fn a_rate_is_more_than_nothing() {
        for text in ["0", "0m", "", "m", "-1", "1.5m", "1t", "99999999999g", "1 m"] {
            check(text, None);
        }
    }
}
