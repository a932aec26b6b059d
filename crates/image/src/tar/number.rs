//! The numbers in tar headers: octal text, GNU's base-256, and PAX decimals.

use super::Timestamp;

/// Reads a numeric header field: octal digits between spaces and NULs, or base-256 when the top bit is set
/// (GNU tar manual, "Extending tar": big-endian two's complement). An empty field is 0.
pub fn parse_field(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => parse_base256(field),
        _ => parse_octal(field),
    }
}

fn parse_base256(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    let mut value = i128::from(first & 0x3f) - i128::from(first & 0x40);
    // The widest field has twelve bytes: 95 bits, so that an i128 holds every step.
    for byte in rest.iter().take(12) {
        value = (value << 8) | i128::from(*byte);
    }
    i64::try_from(value).ok()
}

fn parse_octal(field: &[u8]) -> Option<i64> {
    let is_filler = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !is_filler(byte)).unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(is_filler).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0_i64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
        _ => None,
    })
}

/// Reads an unsigned decimal without sign or spaces.
pub fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Reads a PAX time, `[-]seconds[.fraction]` (POSIX pax, "Extended Header File Times"). Digits below a nanosecond are cut off.
pub fn parse_timestamp(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    let seconds = i64::try_from(parse_decimal(whole)?).ok()?;
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp { seconds, nanoseconds },
        (true, 0) => Timestamp {
            seconds: -seconds,
            nanoseconds,
        },
        (true, _) => Timestamp {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn octal_stands_between_spaces_and_nuls() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"77777777777\0", Some(0o77_777_777_777)),
            (b"\0\0\0\0", Some(0)),
            (b"", Some(0)),
            (b"12 junk", Some(0o12)),
            (b"8", None),
            (b"-1", None),
            (b"777777777777777777777777", None),
        ] {
            assert_eq!(parse_field(field), value, "{field:?}");
        }
    }

    #[test]
    fn base256_reaches_above_octal_and_below_zero() {
        assert_eq!(parse_field(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]), Some(258));
        assert_eq!(parse_field(&[0xff; 12]), Some(-1));
        assert_eq!(parse_field(&[0x80, 0, 0, 0, 1, 0, 0, 0]), Some(1 << 24));
        assert_eq!(parse_field(&[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(
            parse_field(&[0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            Some(i64::MIN)
        );
    }

    #[test]
    fn times_round_down_to_the_second() {
        let time = |seconds, nanoseconds| Some(Timestamp { seconds, nanoseconds });
        for (text, value) in [
            ("0", time(0, 0)),
            ("1.5", time(1, 500_000_000)),
            ("-1.5", time(-2, 500_000_000)),
            ("-1", time(-1, 0)),
            ("1.0000000019", time(1, 1)),
            ("1.", time(1, 0)),
            ("", None),
            ("-", None),
            (".5", None),
            ("1.x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_timestamp(text.as_bytes()), value, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_them_panic(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            let _ = (parse_field(&bytes), parse_decimal(&bytes), parse_timestamp(&bytes));
        }

        #[test]
        fn base256_reads_what_it_wrote(value: i64) {
            let mut field = [if value < 0 { 0xff } else { 0 }; 12];
            field[4..].copy_from_slice(&value.to_be_bytes());
            field[0] |= 0x80;
            prop_assert_eq!(parse_field(&field), Some(value));
        }
    }
}
