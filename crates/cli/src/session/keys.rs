//! The keys that leave a task to itself: Ctrl-P, then Ctrl-Q, as Docker has them.

const CTRL_P: u8 = 0x10;
const CTRL_Q: u8 = 0x11;

/// Looks for the keys in what a person types.
#[derive(Debug, Default)]
pub struct DetachKeys {
    is_begun: bool,
}

/// What becomes of some input.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    /// What the task gets of it.
    pub input: Vec<u8>,
    /// Whether the keys came; what came behind them is dropped.
    pub leaves: bool,
}

impl DetachKeys {
    /// Takes the next input. A Ctrl-P at its end waits for what comes next.
    pub fn typed(&mut self, bytes: &[u8]) -> Typed {
        let mut input = Vec::with_capacity(bytes.len() + 1);
        for &byte in bytes {
            if self.is_begun && byte == CTRL_Q {
                self.is_begun = false;
                return Typed { input, leaves: true };
            }
            if self.is_begun {
                input.push(CTRL_P);
            }
            self.is_begun = byte == CTRL_P;
            if !self.is_begun {
                input.push(byte);
            }
        }
        Typed { input, leaves: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]], expected: &[u8], leaves: bool) {
        let mut keys = DetachKeys::default();
        let mut input = Vec::new();
        let mut has_left = false;
        for piece in pieces {
            let typed = keys.typed(piece);
            input.extend(typed.input);
            has_left |= typed.leaves;
        }
        assert_eq!((input.as_slice(), has_left), (expected, leaves), "{pieces:?}");
    }

    #[test]
    fn both_keys_leave_wherever_they_are_cut() {
        check(&[b"ab\x10\x11cd"], b"ab", true);
        check(&[b"ab\x10", b"\x11"], b"ab", true);
        check(&[b"\x10\x10\x11"], b"\x10", true);
    }

    #[test]
    fn one_key_alone_is_the_tasks() {
        check(&[b"\x10a"], b"\x10a", false);
        check(&[b"\x10", b"\x10", b"b"], b"\x10\x10b", false);
        check(&[b"\x11"], b"\x11", false);
    }
}
