//! How many descriptors the host agent may have open: every running task takes about seven.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most descriptors of any process on this host.
const SYSTEM_LIMIT: &str = "/proc/sys/fs/nr_open";

/// Lets this process, and the VMMs that it starts, have as many as the host has for one process; or else as many as it may give itself.
pub fn raise_limit() {
    let system = fs::read_to_string(SYSTEM_LIMIT)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let own = getrlimit(Resource::Nofile).maximum;
    // Only root may go beyond its own maximum.
    for count in [system, own].into_iter().flatten() {
        let limit = Rlimit {
            current: Some(count),
            maximum: Some(count),
        };
        if setrlimit(Resource::Nofile, limit).is_ok() {
            return;
        }
    }
    tracing::warn!("the limit on open descriptors cannot be raised: it bounds the number of tasks");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_all_that_may_be_had() {
        raise_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
