//! What the guest agent and the process of a container say to each other, over a pair of sockets.
//!
//! The process sends [`Report`]s; the guest agent sends one [`Order`], then one byte that releases the process. `execve` closes the
//! process's socket: that the program runs is told by the end of the reports.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use protocol::guest::{Container, StartFailure};
use serde::{Deserialize, Serialize};

/// The byte that releases a process.
pub const RELEASE: u8 = 1;

/// Which container a process is to become.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order<'a> {
    /// The container.
    pub container: Cow<'a, Container>,
    /// Where it is.
    pub place: Cow<'a, Place>,
    /// Its terminal, where it has one.
    pub terminal: Option<String>,
}

/// What all containers of a microVM have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// The name of the microVM.
    pub hostname: String,
    /// Its address, where it has a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// Its IPv6 address, where its network has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_ipv6: Option<Ipv6Addr>,
    /// The contents of `/etc/resolv.conf`; the image's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolver: Option<String>,
    /// Kernel settings that each container has for itself: path below `/proc/sys`, value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sysctls: Vec<(String, String)>,
    /// Where the volumes are: name, directory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<(String, String)>,
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
pub fn sample() -> Order<'static> {
    let strings = |strings: &[&str]| strings.iter().map(|&text| text.to_owned()).collect();
    Order {
        container: Cow::Owned(Container {
            process: 0,
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
            memory_bytes_low: None,
            cpu_weight: None,
            read_only: false,
            has_init_process: false,
            shared_memory_bytes: None,
            mounts: Vec::new(),
            ulimits: Vec::new(),
            hosts: Vec::new(),
        }),
        place: Cow::Owned(Place {
            hostname: "sample".to_owned(),
            ..Place::default()
        }),
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
        let mut frames = Frames::<Order<'static>>::default();
        frames.room().extend(frame::encode(&sample()).unwrap());
        assert_eq!(frames.take().unwrap(), Some(sample()));
    }
}
