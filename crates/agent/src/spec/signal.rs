//! Signals by name, as images write them (OCI image spec, image configuration, `StopSignal`).

/// The signal where an image names none.
pub const SIGTERM: u8 = 15;

/// The lowest and the highest real-time signal that programs use: the C library keeps 32 and 33 to itself.
const SIGRTMIN: u8 = 34;
const SIGRTMAX: u8 = 64;

/// Linux's numbers on x86-64, which are also the generic ones (`asm-generic/signal.h`).
const NAMES: [(&str, u8); 35] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", 1),
    ("ILL", 4),
    ("INT", 2),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", 9),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", 3),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", 15),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", 10),
    ("USR2", 12),
    ("VTALRM", 26),
    ("WINCH", 28),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("UNUSED", 31),
];

/// The number of a signal: `SIGTERM`, `term`, `15`, `SIGRTMIN+3`, `RTMAX-1`.
#[must_use]
pub fn parse(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=SIGRTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number);
    known.or_else(|| real_time(name))
}

fn real_time(name: &str) -> Option<u8> {
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => SIGRTMIN,
        (_, Some("")) => SIGRTMAX,
        (Some(rest), _) => SIGRTMIN.checked_add(rest.strip_prefix('+')?.parse().ok()?)?,
        (_, Some(rest)) => SIGRTMAX.checked_sub(rest.strip_prefix('-')?.parse().ok()?)?,
        (None, None) => return None,
    };
    (SIGRTMIN..=SIGRTMAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u8>) {
        assert_eq!(parse(text), expected, "{text}");
    }

    #[test]
    fn names_with_and_without_prefix_and_numbers_are_signals() {
        check("SIGTERM", Some(15));
        check("quit", Some(3));
        check("sigWinch", Some(28));
        check("9", Some(9));
        check("SIGRTMIN+3", Some(37));
        check("RTMAX-1", Some(63));
        check("RTMAX", Some(64));
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in [
            "",
            "SIG",
            "0",
            "65",
            "-1",
            "SIGRTMIN+40",
            "SIGRTMAX-40",
            "SIGFOO",
            "RTMIN3",
        ] {
            check(text, None);
        }
    }
}
