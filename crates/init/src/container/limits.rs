//! Resource limits of a container's processes.

use std::io;

use protocol::guest::Ulimit;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::failure::{Attempt, StepError};

/// The names of ECS and Docker, in the kernel's order.
const NAMES: [(&str, Resource); 15] = [
    ("cpu", Resource::Cpu),
    ("fsize", Resource::Fsize),
    ("data", Resource::Data),
    ("stack", Resource::Stack),
    ("core", Resource::Core),
    ("rss", Resource::Rss),
    ("nproc", Resource::Nproc),
    ("nofile", Resource::Nofile),
    ("memlock", Resource::Memlock),
    ("locks", Resource::Locks),
    ("sigpending", Resource::Sigpending),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
];

/// Sets limits instead of those that every container has.
///
/// # Errors
/// A name that there is not, or the kernel's.
pub fn set(limits: &[Ulimit]) -> Result<(), StepError> {
    limits.iter().try_for_each(|Ulimit { name, soft, hard }| {
        let set = resource(name).and_then(|resource| {
            let limit = Rlimit {
                current: *soft,
                maximum: *hard,
            };
            Ok(setrlimit(resource, limit)?)
        });
        set.attempting(|| format!("set the resource limit {name}"))
    })
}

/// The resource of this name.
fn resource(name: &str) -> io::Result<Resource> {
    let found = NAMES.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, resource)| *resource)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there is none of this name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::sentence;

    #[test]
    fn every_name_of_ecs_is_known() {
        let all = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack";
        assert!(all.split(' ').all(|name| resource(name).is_ok()));
    }

    #[test]
    fn an_unknown_name_is_refused_by_name() {
        let limit = Ulimit {
            name: "patience".to_owned(),
            soft: None,
            hard: None,
        };
        let error = set(&[limit]).unwrap_err();
        assert_eq!(
            sentence(&error),
            "cannot set the resource limit patience: there is none of this name"
        );
    }
}
