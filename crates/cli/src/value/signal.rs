//! Signals, by name or number.

use std::str::FromStr;

/// The largest number of a signal (signal(7)).
const SIGNAL_MAX: u8 = 64;

/// The signals of Linux on x86-64 (signal(7)), by number from 1 on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// A signal's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub u8);

impl FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let number = match NAMES.iter().position(|known| *known == name) {
            Some(index) => u8::try_from(index + 1).ok(),
            None => text.parse().ok().filter(|number| (1..=SIGNAL_MAX).contains(number)),
        };
        number.map(Self).ok_or_else(|| {
            format!("there is no signal '{text}': write a name, such as TERM, or a number from 1 to {SIGNAL_MAX}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_and_a_number() {
        for (text, number) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("9", 9),
            ("KILL", 9),
            ("SYS", 31),
            ("64", 64),
        ] {
            assert_eq!(text.parse(), Ok(Signal(number)), "{text}");
        }
        for text in ["", "SIG", "0", "65", "NOPE", "-1"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }
}
