//! All connections of a guest, found by the token of their socket or by their ports.

use std::collections::HashMap;

use crate::vsock::connection::Connection;
use crate::vsock::packet::Ports;

/// The most connections at once, those on their way in and out included: with their buffers they bound the memory that
/// a guest can make the host use to 64 MiB.
pub const CONNECTIONS_MAX: usize = 256;

/// Host ports from here on are given to connections that come from the host; what is below may be a service's.
pub const FIRST_EPHEMERAL_PORT: u32 = 1 << 30;

/// The smallest token; those below name other descriptors of the worker.
const FIRST_TOKEN: u32 = 16;

/// The table.
#[derive(Debug)]
pub(super) struct Connections {
    by_token: HashMap<u32, Entry>,
    by_ports: HashMap<Ports, u32>,
    next_token: u32,
    next_port: u32,
}

#[derive(Debug)]
struct Entry {
    connection: Connection,
    /// The ports under which `by_ports` has this entry's token.
    linked: Option<Ports>,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self {
            by_token: HashMap::new(),
            by_ports: HashMap::new(),
            next_token: FIRST_TOKEN,
            next_port: FIRST_EPHEMERAL_PORT,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.by_token.len() >= CONNECTIONS_MAX
    }

    /// A token that no connection has. There is one, since the table is bounded.
    pub(super) fn free_token(&mut self) -> u32 {
        loop {
            let token = self.next_token;
            self.next_token = token.checked_add(1).unwrap_or(FIRST_TOKEN);
            if !self.by_token.contains_key(&token) {
                return token;
            }
        }
    }

    /// Host and guest port for a connection from the host to this guest port, different from all others.
    pub(super) fn free_ports(&mut self, guest: u32) -> Ports {
        loop {
            let ports = Ports {
                guest,
                host: self.next_port,
            };
            // The last number is no port: it means "any" to Linux.
            self.next_port = if ports.host >= u32::MAX - 1 {
                FIRST_EPHEMERAL_PORT
            } else {
                ports.host + 1
            };
            if !self.by_ports.contains_key(&ports) {
                return ports;
            }
        }
    }

    pub(super) fn insert(&mut self, token: u32, connection: Connection) {
        self.by_token.insert(
            token,
            Entry {
                connection,
                linked: None,
            },
        );
        self.relink(token);
    }

    pub(super) fn find(&self, ports: Ports) -> Option<u32> {
        self.by_ports.get(&ports).copied()
    }

    pub(super) fn get_mut(&mut self, token: u32) -> Option<&mut Connection> {
        self.by_token.get_mut(&token).map(|entry| &mut entry.connection)
    }

    /// Has packets find a connection by the ports it has now, and by no others.
    pub(super) fn relink(&mut self, token: u32) {
        let Some(entry) = self.by_token.get_mut(&token) else {
            return;
        };
        let ports = entry.connection.ports();
        if entry.linked == ports {
            return;
        }
        if let Some(old) = std::mem::replace(&mut entry.linked, ports) {
            self.by_ports.remove(&old);
        }
        if let Some(new) = ports {
            self.by_ports.insert(new, token);
        }
    }

    pub(super) fn remove(&mut self, token: u32) -> Option<Connection> {
        let entry = self.by_token.remove(&token)?;
        if let Some(ports) = entry.linked {
            self.by_ports.remove(&ports);
        }
        Some(entry.connection)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn connection() -> Connection {
        Connection::incoming(UnixStream::pair().unwrap().0)
    }

    #[test]
    fn ports_are_free_only_once() {
        let mut connections = Connections::new();
        let token = connections.free_token();
        connections.insert(token, connection());
        let ports = connections.free_ports(52);
        connections.get_mut(token).unwrap().ask(ports);
        connections.relink(token);
        assert_eq!(connections.find(ports), Some(token));
        connections.next_port = ports.host;
        assert_ne!(connections.free_ports(52), ports);
    }

    #[test]
    fn the_last_port_and_the_last_token_are_followed_by_the_first() {
        let mut connections = Connections::new();
        connections.next_port = u32::MAX - 1;
        assert_eq!(connections.free_ports(1).host, u32::MAX - 1);
        assert_eq!(connections.free_ports(1).host, FIRST_EPHEMERAL_PORT);
        connections.next_token = u32::MAX;
        assert_eq!(connections.free_token(), u32::MAX);
        assert_eq!(connections.free_token(), FIRST_TOKEN);
    }

    #[test]
    fn what_is_removed_is_found_no_more() {
        let mut connections = Connections::new();
        let token = connections.free_token();
        connections.insert(token, connection());
        let ports = connections.free_ports(52);
        connections.get_mut(token).unwrap().ask(ports);
        connections.relink(token);
        assert!(connections.remove(token).is_some());
        assert_eq!(connections.find(ports), None);
        assert!(connections.remove(token).is_none());
    }
}
