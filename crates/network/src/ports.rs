//! The host's ports that lead to guests. Each is bound while it is published, so that nobody else can have it, and nobody else's is taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind as bind_to, getsockname, socket_with, sockopt};

/// How many free ports of IPv4 are tried for one that IPv6 has free, too.
const TRIES: usize = 16;

/// A port that is to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRequest {
    /// The host's address; all of them where absent.
    pub host_address: Option<IpAddr>,
    /// The host's port; a free one where absent.
    pub host_port: Option<u16>,
    /// The guest's port.
    pub port: u16,
    /// Whether it is UDP and not TCP.
    pub is_udp: bool,
}

/// A port that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The host's address; the unspecified one of a kind for all of that kind, and nothing for all that there are.
    pub host_address: Option<IpAddr>,
    /// The host's port.
    pub host_port: u16,
    /// The guest's port.
    pub port: u16,
    /// Whether it is UDP and not TCP.
    pub is_udp: bool,
}

/// Why a port cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody has it.
    #[error("port {port}/{protocol} of the host{at} is in use; publish another one, or none for a free one")]
    Taken {
        /// The port.
        port: u16,
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// ` at ADDRESS`, where one was named.
        at: String,
    },
    /// The guest has no IPv6 address.
    #[error("cannot publish a port at {address}: the task has no IPv6 address; run it in a network made with --ipv6")]
    Version6 {
        /// The address.
        address: IpAddr,
    },
    /// What is for this address never leaves the loopback interface.
    #[error("cannot publish a port at ::1: the kernel leads it to no task; publish at 127.0.0.1")]
    Loopback6,
    /// The system does not give it.
    #[error("cannot bind port {port}/{protocol} of the host{at}")]
    Bind {
        /// The port.
        port: u16,
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// ` at ADDRESS`, where one was named.
        at: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// What keeps others from a port.
#[derive(Debug)]
pub enum Hold {
    /// A socket that listens and is never asked: the packet filter is asked first.
    Tcp(TcpListener),
    /// A socket that hears nothing, for the same reason.
    Udp(UdpSocket),
    /// A socket of IPv6, which does not listen: what is for `::1` comes to it and is refused, so that programs go on to `127.0.0.1`.
    Ipv6(OwnedFd),
}

/// Binds all of `requests`, or none, for a guest that `has_ipv6` or not.
///
/// # Errors
/// [`PortError`]: the first that cannot be had.
pub fn reserve(requests: &[PortRequest], has_ipv6: bool) -> Result<(Vec<Published>, Vec<Hold>), PortError> {
    let mut published = Vec::with_capacity(requests.len());
    let mut holds = Vec::with_capacity(requests.len());
    for request in requests {
        let host_address = host_address(request.host_address, has_ipv6)?;
        let (held, host_port) = hold(host_address, has_ipv6, request.host_port.unwrap_or(0), request.is_udp)?;
        holds.extend(held);
        published.push(Published {
            host_address,
            host_port,
            port: request.port,
            is_udp: request.is_udp,
        });
    }
    Ok((published, holds))
}

impl From<Published> for PortRequest {
    fn from(port: Published) -> Self {
        Self {
            host_address: port.host_address,
            host_port: Some(port.host_port),
            port: port.port,
            is_udp: port.is_udp,
        }
    }
}

/// Where a port is published that is asked for at `wanted`.
fn host_address(wanted: Option<IpAddr>, has_ipv6: bool) -> Result<Option<IpAddr>, PortError> {
    match wanted.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(Ipv6Addr::LOCALHOST)) => Err(PortError::Loopback6),
        Some(address @ IpAddr::V6(_)) if !has_ipv6 => Err(PortError::Version6 { address }),
        // There are no others.
        Some(address) if address.is_unspecified() && !has_ipv6 => Ok(None),
        address => Ok(address),
    }
}

/// Binds a port at an address, or at all addresses of both kinds.
fn hold(address: Option<IpAddr>, has_ipv6: bool, port: u16, is_udp: bool) -> Result<(Vec<Hold>, u16), PortError> {
    if let Some(address) = address {
        let (hold, port) = bind(address, port, is_udp, Some(address))?;
        return Ok((vec![hold], port));
    }
    let mut tried = Vec::new();
    loop {
        let (fourth, found) = bind(Ipv4Addr::UNSPECIFIED.into(), port, is_udp, None)?;
        if !has_ipv6 {
            return Ok((vec![fourth], found));
        }
        match bind(Ipv6Addr::UNSPECIFIED.into(), found, is_udp, None) {
            Ok((sixth, _)) => return Ok((vec![fourth, sixth], found)),
            // The next one is another one, as this is held.
            Err(_) if port == 0 && tried.len() < TRIES => tried.push(fourth),
            Err(error) => return Err(error),
        }
    }
}

/// Binds a port at one address; what is said of a failure names the address that was `asked` for.
fn bind(address: IpAddr, port: u16, is_udp: bool, asked: Option<IpAddr>) -> Result<(Hold, u16), PortError> {
    let bound = match (address, is_udp) {
        (IpAddr::V6(address), _) => bind_ipv6(address, port, is_udp),
        (IpAddr::V4(_), true) => {
            UdpSocket::bind((address, port)).and_then(|socket| Ok((socket.local_addr()?.port(), Hold::Udp(socket))))
        }
        (IpAddr::V4(_), false) => {
            TcpListener::bind((address, port)).and_then(|socket| Ok((socket.local_addr()?.port(), Hold::Tcp(socket))))
        }
    };
    bound.map(|(port, hold)| (hold, port)).map_err(|source| {
        let protocol = if is_udp { "udp" } else { "tcp" };
        let at = asked.map(|address| format!(" at {address}")).unwrap_or_default();
        if source.kind() == io::ErrorKind::AddrInUse {
            PortError::Taken { port, protocol, at }
        } else {
            PortError::Bind {
                port,
                protocol,
                at,
                source,
            }
        }
    })
}

fn bind_ipv6(address: Ipv6Addr, port: u16, is_udp: bool) -> io::Result<(u16, Hold)> {
    let kind = if is_udp { SocketType::DGRAM } else { SocketType::STREAM };
    let socket = socket_with(AddressFamily::INET6, kind, SocketFlags::CLOEXEC, None)?;
    sockopt::set_ipv6_v6only(&socket, true)?;
    bind_to(&socket, &SocketAddrV6::new(address, port, 0, 0))?;
    let port = SocketAddr::try_from(getsockname(&socket)?)?.port();
    Ok((port, Hold::Ipv6(socket)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn request(address: &str, port: u16, is_udp: bool) -> PortRequest {
        PortRequest {
            host_address: Some(address.parse().unwrap()),
            host_port: (port > 0).then_some(port),
            port: 80,
            is_udp,
        }
    }

    #[test]
    fn a_free_port_is_found_and_held() {
        for is_udp in [false, true] {
            let (published, holds) = reserve(&[request("127.0.0.1", 0, is_udp)], false).unwrap();
            let port = published[0].host_port;
            assert!(port > 0);
            let again = request("127.0.0.1", port, is_udp);
            let error = reserve(&[again], false).unwrap_err().to_string();
            let protocol = if is_udp { "udp" } else { "tcp" };
            assert!(
                error.starts_with(&format!("port {port}/{protocol} of the host at 127.0.0.1 is in use")),
                "{error}"
            );
            drop(holds);
            reserve(&[again], false).unwrap();
        }
    }

    #[test]
    fn a_port_is_published_once_even_in_one_request() {
        let (published, holds) = reserve(&[request("127.0.0.1", 0, false)], false).unwrap();
        drop(holds);
        let twice = [request("127.0.0.1", published[0].host_port, false); 2];
        assert!(matches!(reserve(&twice, false), Err(PortError::Taken { .. })));
    }

    #[test]
    fn all_addresses_have_no_name_unless_there_are_those_of_the_other_kind() {
        let at = |address: &str, has_ipv6| {
            let (published, _holds) = reserve(&[request(address, 0, false)], has_ipv6).unwrap();
            published[0].host_address.map(|address| address.to_string())
        };
        assert_eq!(at("0.0.0.0", false), None);
        for (asked, expected) in [("0.0.0.0", "0.0.0.0"), ("::", "::"), ("::ffff:127.0.0.1", "127.0.0.1")] {
            assert_eq!(at(asked, true).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_port_at_all_addresses_is_held_at_those_of_both_kinds() {
        let everywhere = PortRequest {
            host_address: None,
            ..request("::", 0, false)
        };
        for is_udp in [false, true] {
            let (published, holds) = reserve(&[PortRequest { is_udp, ..everywhere }], true).unwrap();
            assert_eq!((published[0].host_address, holds.len()), (None, 2));
            for address in ["0.0.0.0", "::"] {
                let error = reserve(&[request(address, published[0].host_port, is_udp)], true).unwrap_err();
                assert!(matches!(error, PortError::Taken { .. }), "{error}");
            }
        }
        // What is held of IPv6 refuses.
        let (published, _holds) = reserve(&[request("::", 0, false)], true).unwrap();
        let refused = TcpStream::connect((Ipv6Addr::LOCALHOST, published[0].host_port)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn some_addresses_are_refused() {
        for (address, has_ipv6, expected) in [
            ("::", false, "the task has no IPv6 address"),
            ("fd00::1", false, "run it in a network made with --ipv6"),
            ("::1", true, "publish at 127.0.0.1"),
            ("::1", false, "publish at 127.0.0.1"),
        ] {
            let error = reserve(&[request(address, 1, false)], has_ipv6).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
