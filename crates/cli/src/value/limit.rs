//! Limits, as Docker writes them: `nofile=1024:4096`, and numbers of processes.

use api::task::Ulimit;

/// What Docker calls the limits of getrlimit(2).
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME=SOFT[:HARD]`; `-1` or `unlimited` is no limit.
///
/// # Errors
/// One sentence.
pub fn parse_ulimit(text: &str) -> Result<Ulimit, String> {
    let wrong = || format!("'{text}' is no resource limit: write NAME=SOFT[:HARD], such as nofile=1024:4096");
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    if !NAMES.contains(&name) {
        return Err(format!("there is no resource limit '{name}': {}", NAMES.join(", ")));
    }
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| wrong()),
    };
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
        return Err(format!("the soft limit of '{text}' is above the hard one"));
    }
    let name = name.to_owned();
    Ok(Ulimit { name, soft, hard })
}

/// The most processes at a time; none where there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidsLimit(pub Option<u32>);

/// A number; `-1` and `0` are no limit, as in Docker.
///
/// # Errors
/// One sentence.
pub fn parse_pids_limit(text: &str) -> Result<PidsLimit, String> {
    let wrong = || format!("'{text}' is no number of processes: write 100, or -1 for no limit");
    match text {
        "-1" | "0" | "unlimited" => Ok(PidsLimit(None)),
        _ => text.parse().map(|number| PidsLimit(Some(number))).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(Option<u64>, Option<u64>)>) {
        let found = parse_ulimit(text).ok().map(|ulimit| (ulimit.soft, ulimit.hard));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn one_number_is_both_limits() {
        check("nofile=1024", Some((Some(1024), Some(1024))));
        check("nofile=1024:4096", Some((Some(1024), Some(4096))));
        check("core=0:-1", Some((Some(0), None)));
        check("stack=unlimited", Some((None, None)));
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in ["nofile", "nofile=", "nofile=a", "files=1", "nofile=2:1", "nofile=-1:5"] {
            check(text, None);
        }
    }

    #[test]
    fn no_number_of_processes_is_no_limit() {
        assert_eq!(parse_pids_limit("100"), Ok(PidsLimit(Some(100))));
        for none in ["-1", "0"] {
            assert_eq!(parse_pids_limit(none), Ok(PidsLimit(None)));
        }
        assert!(parse_pids_limit("-7").is_err() && parse_pids_limit("many").is_err());
    }
}
