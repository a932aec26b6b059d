//! The host's ports that lead to guests. Each is bound while it is published, so that nobody else can have it, and nobody else's is taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

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
    /// The host's address; all of them where absent.
    pub host_address: Option<Ipv4Addr>,
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
    /// Tasks have no IPv6 address.
    #[error("cannot publish a port at {address}: tasks have an IPv4 address only")]
    Version6 {
        /// The address.
        address: IpAddr,
    },
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
}

/// Binds all of `requests`, or none.
///
/// # Errors
/// [`PortError`]: the first that cannot be had.
pub fn reserve(requests: &[PortRequest]) -> Result<(Vec<Published>, Vec<Hold>), PortError> {
    let mut published = Vec::with_capacity(requests.len());
    let mut holds = Vec::with_capacity(requests.len());
    for request in requests {
        let host_address = match request.host_address {
            None => None,
            Some(IpAddr::V4(address)) if address.is_unspecified() => None,
            Some(IpAddr::V6(address)) if address.is_unspecified() => None,
            Some(IpAddr::V4(address)) => Some(address),
            Some(address) => return Err(PortError::Version6 { address }),
        };
        let (hold, host_port) = bind(host_address, request.host_port.unwrap_or(0), request.is_udp)?;
        holds.push(hold);
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
            host_address: port.host_address.map(IpAddr::V4),
            host_port: Some(port.host_port),
            port: port.port,
            is_udp: port.is_udp,
        }
    }
}

fn bind(address: Option<Ipv4Addr>, port: u16, is_udp: bool) -> Result<(Hold, u16), PortError> {
    let place = SocketAddr::from((address.unwrap_or(Ipv4Addr::UNSPECIFIED), port));
    let bound = if is_udp {
        UdpSocket::bind(place).and_then(|socket| Ok((socket.local_addr()?.port(), Hold::Udp(socket))))
    } else {
        TcpListener::bind(place).and_then(|socket| Ok((socket.local_addr()?.port(), Hold::Tcp(socket))))
    };
    match bound {
        Ok((port, hold)) => Ok((hold, port)),
        Err(source) => {
            let protocol = if is_udp { "udp" } else { "tcp" };
            let at = address.map(|address| format!(" at {address}")).unwrap_or_default();
            Err(if source.kind() == io::ErrorKind::AddrInUse {
                PortError::Taken { port, protocol, at }
            } else {
                PortError::Bind {
                    port,
                    protocol,
                    at,
                    source,
                }
            })
        }
    }
}

#[cfg(test)]
mod tests {
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
            let (published, holds) = reserve(&[request("127.0.0.1", 0, is_udp)]).unwrap();
            let port = published[0].host_port;
            assert!(port > 0);
            let again = request("127.0.0.1", port, is_udp);
            let error = reserve(&[again]).unwrap_err().to_string();
            let protocol = if is_udp { "udp" } else { "tcp" };
            assert!(
                error.starts_with(&format!("port {port}/{protocol} of the host at 127.0.0.1 is in use")),
                "{error}"
            );
            drop(holds);
            reserve(&[again]).unwrap();
        }
    }

    #[test]
    fn a_port_is_published_once_even_in_one_request() {
        let (published, holds) = reserve(&[request("127.0.0.1", 0, false)]).unwrap();
        drop(holds);
        let twice = [request("127.0.0.1", published[0].host_port, false); 2];
        assert!(matches!(reserve(&twice), Err(PortError::Taken { .. })));
    }

    #[test]
    fn all_addresses_have_no_name_and_the_sixth_version_is_refused() {
        let (published, _holds) = reserve(&[request("0.0.0.0", 0, false), request("::", 0, true)]).unwrap();
        assert!(published.iter().all(|port| port.host_address.is_none()));
        assert!(matches!(
            reserve(&[request("::1", 1, false)]),
            Err(PortError::Version6 { .. })
        ));
    }
}
