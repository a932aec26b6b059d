//! What the guest agent and the process of a container say to each other, over a pair of sockets.
//!
//! The process sends [`Report`]s; the guest agent sends one [`Order`], then one byte that releases the process. `execve` closes the
//! process's socket: that the program runs is told by the end of the reports.

use protocol::guest::{Container, StartFailure};
use serde::{Deserialize, Serialize};

/// The byte that releases a process.
pub const RELEASE: u8 = 1;

/// Which container a process is to become.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The container.
    pub container: Container,
    /// The name of the microVM.
    pub hostname: String,
    /// Its terminal, where it has one.
    pub terminal: Option<String>,
}

/// What a process has come to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// It is ready to become any container.
    Ready,
    /// It waits to be released.
    Prepared,
    /// It cannot become the container, or execute its program.
    Refused {
        /// What kind of failure.
        reason: StartFailure,
        /// One sentence.
        message: String,
    },
}

/// An order that resembles the usual ones, to be encoded and decoded once before it matters: what that takes is then in memory.
pub fn sample() -> Order {
    let strings = |strings: &[&str]| strings.iter().map(|&text| text.to_owned()).collect();
    Order {
        container: Container {
            name: "sample".to_owned(),
            rootfs_slot: 1,
            scratch_slot: Some(3),
            argv: strings(&["/bin/sh", "-c", "true"]),
            env: strings(&[
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOSTNAME=sample",
            ]),
            working_directory: "/".to_owned(),
            user: String::new(),
            terminal: None,
            stdin: false,
            capabilities: strings(&protocol::usual::CAPABILITIES),
            no_new_privileges: false,
            masked_paths: strings(&protocol::usual::MASKED_PATHS),
            read_only_paths: strings(&protocol::usual::READ_ONLY_PATHS),
            memory_bytes_max: Some(1 << 28),
            pids_max: Some(1024),
        },
        hostname: "sample".to_owned(),
        terminal: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Frames;
    use protocol::frame;

    #[test]
    fn an_order_arrives_as_it_was_given() {
        let mut frames = Frames::<Order>::default();
        frames.room().extend(frame::encode(&sample()).unwrap());
        assert_eq!(frames.take().unwrap(), Some(sample()));
    }
}
