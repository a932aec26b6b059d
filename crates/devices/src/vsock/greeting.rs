//! How a host program names the guest port it wants: a line, as Firecracker has it.

/// The longest greeting, its end of line included: bounds what is looked at of a client that never ends its line.
pub const GREETING_BYTES_MAX: usize = 32;

/// What the first bytes of a client are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Greeting {
    /// The begin of a line; there may be more.
    Incomplete,
    /// `CONNECT <port>\n`.
    Connect {
        /// The guest's port.
        port: u32,
        /// How many bytes the line has; what follows is for the guest.
        bytes: usize,
    },
    /// Something else.
    Invalid,
}

/// Reads the first bytes a client has sent.
#[must_use]
pub fn parse(bytes: &[u8]) -> Greeting {
    let looked_at = &bytes[..bytes.len().min(GREETING_BYTES_MAX)];
    let Some(end) = looked_at.iter().position(|&byte| byte == b'\n') else {
        return if looked_at.len() == GREETING_BYTES_MAX {
            Greeting::Invalid
        } else {
            Greeting::Incomplete
        };
    };
    let line = looked_at[..end].strip_suffix(b"\r").unwrap_or(&looked_at[..end]);
    let port = line
        .strip_prefix(b"CONNECT ")
        .filter(|digits| digits.iter().all(u8::is_ascii_digit));
    match port.and_then(|digits| str::from_utf8(digits).ok()).map(str::parse) {
        Some(Ok(port)) => Greeting::Connect { port, bytes: end + 1 },
        _ => Greeting::Invalid,
    }
}

/// The answer to a client whose connection the guest has accepted.
#[must_use]
pub fn answer(host_port: u32) -> String {
    format!("OK {host_port}\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8], expected: Greeting) {
        assert_eq!(parse(bytes), expected, "{:?}", bytes.escape_ascii().to_string());
    }

    #[test]
    fn a_line_names_a_port() {
        check(b"CONNECT 52\n", Greeting::Connect { port: 52, bytes: 11 });
        check(b"CONNECT 52\r\n", Greeting::Connect { port: 52, bytes: 12 });
        check(
            b"CONNECT 4294967295\n",
            Greeting::Connect {
                port: u32::MAX,
                bytes: 19,
            },
        );
    }

    #[test]
    fn what_follows_the_line_is_left() {
        check(b"CONNECT 1\nCONNECT 2\n", Greeting::Connect { port: 1, bytes: 10 });
    }

    #[test]
    fn half_a_line_is_waited_for() {
        check(b"", Greeting::Incomplete);
        check(b"CONNECT 5", Greeting::Incomplete);
    }

    #[test]
    fn anything_else_is_refused() {
        for bytes in [
            &b"\n"[..],
            b"CONNECT \n",
            b"CONNECT 4294967296\n",
            b"CONNECT -1\n",
            b"CONNECT +1\n",
            b"connect 1\n",
        ] {
            check(bytes, Greeting::Invalid);
        }
        check(&[b'x'; GREETING_BYTES_MAX], Greeting::Invalid);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            if let Greeting::Connect { bytes: length, .. } = parse(&bytes) {
                prop_assert_eq!(bytes[length - 1], b'\n');
            }
        }
    }
}
