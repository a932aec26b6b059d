//! Base 64 (RFC 4648, 4).

/// The bytes that `text` stands for; `None` where it is not base 64 with its padding.
pub fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let count = text.len() / 4;
    for (index, group) in text.chunks_exact(4).enumerate() {
        let padding = group.iter().rev().take_while(|&&byte| byte == b'=').count();
        if padding > 2 || (padding > 0 && index + 1 < count) {
            return None;
        }
        let mut word = 0_u32;
        for &byte in &group[..4 - padding] {
            word = word << 6 | u32::from(digit(byte)?);
        }
        word <<= 6 * padding;
        let [_, high, middle, low] = word.to_be_bytes();
        bytes.extend_from_slice(&[high, middle, low][..3 - padding]);
    }
    Some(bytes)
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_understood() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(base64_decode(text).unwrap(), bytes.as_bytes());
        }
        assert_eq!(base64_decode("+/8=").unwrap(), [0xfb, 0xff]);
    }

    #[test]
    fn what_is_no_base_64_is_refused() {
        for text in ["Z", "Zg=", "Zg==Zg==", "====", "Z===", "Zm9!", "Zm\n="] {
            assert_eq!(base64_decode(text), None, "{text}");
        }
    }
}
