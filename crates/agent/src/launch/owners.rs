//! Whether the users of VMMs are somebody else's as well: who has the same number may end a VMM.

use std::ops::Range;

use crate::config::Users;

/// Files that give numbers away, and how: to an account, or in ranges to the containers of one (`passwd(5)`, `subuid(5)`, `subgid(5)`).
const FILES: [(&str, Kind); 4] = [
    ("/etc/passwd", Kind::Account),
    ("/etc/group", Kind::Account),
    ("/etc/subuid", Kind::Range),
    ("/etc/subgid", Kind::Range),
];

#[derive(Clone, Copy)]
enum Kind {
    Account,
    Range,
}

/// Warns of each file by which some of `users` are somebody's.
pub fn warn(users: Users) {
    for (path, kind) in FILES {
        // A host without the file gives nothing away by it.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let Some(owner) = owner(users, &text, kind) {
            tracing::warn!(
                "users for VMMs are those of {owner} as well, as {path} says: give others with --vmm-users FIRST-LAST"
            );
        }
    }
}

/// The first to have any of `users` by a file with this text.
fn owner(users: Users, text: &str, kind: Kind) -> Option<&str> {
    let wanted = range(users.first, users.count);
    text.lines().find_map(|line| {
        let mut words = line.split(':');
        let name = words.next()?;
        let had = match kind {
            Kind::Account => range(words.nth(1)?.parse().ok()?, 1),
            Kind::Range => range(words.next()?.parse().ok()?, words.next()?.parse().ok()?),
        };
        (!had.is_empty() && had.start < wanted.end && wanted.start < had.end).then_some(name)
    })
}

fn range(first: u32, count: u32) -> Range<u64> {
    u64::from(first)..u64::from(first) + u64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, text: &str, expected: Option<&str>) {
        let users = Users {
            first: 1000,
            count: 100,
        };
        assert_eq!(owner(users, text, kind), expected);
    }

    #[test]
    fn ranges_that_overlap_are_found() {
        check(Kind::Range, "", None);
        check(Kind::Range, "# a comment\n\nada:900:100\nbob:1100:65536\n", None);
        check(Kind::Range, "ada:900:101\n", Some("ada"));
        check(Kind::Range, "ada:1:1\nbob:1099:1\n", Some("bob"));
        check(Kind::Range, "ada:0:4294967295\n", Some("ada"));
        check(Kind::Range, "ada:1050:0\n", None);
        check(Kind::Range, "ada:1050\nbob:x:1\n", None);
    }

    #[test]
    fn accounts_are_found() {
        check(
            Kind::Account,
            "root:x:0:0::/root:/bin/sh\nada:x:1100:1100::/:/bin/sh\n",
            None,
        );
        check(Kind::Account, "ada:x:1099:1::/:/bin/sh\n", Some("ada"));
        check(Kind::Account, "ada:x:1000:\n", Some("ada"));
    }
}
