//! Ports and names, as Docker writes them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use api::task::{HostEntry, NetworkMode, PortMapping, PublishedPort, TransportProtocol};

/// `[[ADDRESS:]HOST_PORT:]PORT[/tcp|/udp]`; an IPv6 address has brackets.
///
/// # Errors
/// One sentence.
pub fn parse_port(text: &str) -> Result<PortMapping, String> {
    let wrong = || format!("'{text}' is no port to publish: write [[ADDRESS:]HOST_PORT:]PORT[/udp]");
    let (ports, protocol) = match text.rsplit_once('/') {
        None => (text, TransportProtocol::Tcp),
        Some((ports, "tcp")) => (ports, TransportProtocol::Tcp),
        Some((ports, "udp")) => (ports, TransportProtocol::Udp),
        Some(_) => return Err(wrong()),
    };
    let number = |text: &str| text.parse().ok().filter(|&port: &u16| port > 0).ok_or_else(wrong);
    let (host, port) = match ports.rsplit_once(':') {
        None => (None, number(ports)?),
        Some((host, port)) => (Some(host), number(port)?),
    };
    let (host_address, host_port) = match host.map(|host| host.rsplit_once(':').ok_or(host)) {
        None => (None, None),
        Some(Err(host_port)) => (None, Some(number(host_port)?)),
        Some(Ok((address, host_port))) => {
            let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
            let address = bare.unwrap_or(address).parse().map_err(|_| wrong())?;
            let host_port = (!host_port.is_empty()).then(|| number(host_port)).transpose()?;
            (Some(address), host_port)
        }
    };
    Ok(PortMapping {
        host_address,
        host_port,
        port,
        protocol,
    })
}

/// `default`, `none`, or the name of a network that tasks share.
///
/// # Errors
/// One sentence.
pub fn parse_network(text: &str) -> Result<NetworkMode, String> {
    match text {
        "default" | "bridge" => Ok(NetworkMode::Default),
        "none" => Ok(NetworkMode::None),
        "host" => Err("a task has a network of its own: use --publish for its ports".to_owned()),
        "" => Err("a network has a name".to_owned()),
        name => Ok(NetworkMode::Named(name.to_owned())),
    }
}

/// `NAME:ADDRESS`, or `NAME=ADDRESS`.
///
/// # Errors
/// One sentence.
pub fn parse_host_entry(text: &str) -> Result<HostEntry, String> {
    let wrong = || format!("'{text}' is no name with its address: write NAME:ADDRESS");
    let (name, address) = text.split_once(['=', ':']).ok_or_else(wrong)?;
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(wrong());
    }
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let name = name.to_owned();
    Ok(HostEntry { address, name })
}

/// A published port in a table: `0.0.0.0:8080->80/tcp`.
pub fn port_text(port: &PublishedPort) -> String {
    let protocol = port.protocol.name();
    format!("{}->{}/{protocol}", host_end(port), port.port)
}

/// Where on the host a port is published: `0.0.0.0:8080`.
pub fn host_end(port: &PublishedPort) -> String {
    let address = port.host_address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    SocketAddr::new(address, port.host_port).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(Option<&str>, Option<u16>, u16, &str)>) {
        let found = parse_port(text).ok();
        let found = found.map(|found| {
            let address = found.host_address.map(|address| address.to_string());
            (address, found.host_port, found.port, found.protocol.name())
        });
        let expected =
            expected.map(|(address, host, port, protocol)| (address.map(str::to_owned), host, port, protocol));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_port_has_up_to_four_parts() {
        check("80", Some((None, None, 80, "tcp")));
        check("8080:80", Some((None, Some(8080), 80, "tcp")));
        check("53:53/udp", Some((None, Some(53), 53, "udp")));
        check(
            "127.0.0.1:8080:80/tcp",
            Some((Some("127.0.0.1"), Some(8080), 80, "tcp")),
        );
        check("127.0.0.1::80", Some((Some("127.0.0.1"), None, 80, "tcp")));
        check("[::1]:8080:80", Some((Some("::1"), Some(8080), 80, "tcp")));
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in ["", "0", "a", "1:2:3", "80/sctp", "8080:", "70000", "80-90:80-90"] {
            check(text, None);
        }
    }

    #[test]
    fn a_network_is_a_usual_one_or_has_a_name() {
        assert_eq!(parse_network("bridge"), Ok(NetworkMode::Default));
        assert_eq!(parse_network("none"), Ok(NetworkMode::None));
        assert_eq!(parse_network("front"), Ok(NetworkMode::Named("front".to_owned())));
        for text in ["", "host"] {
            parse_network(text).unwrap_err();
        }
    }

    #[test]
    fn a_name_has_one_address() {
        let entry = parse_host_entry("db:10.0.0.7").unwrap();
        assert_eq!(
            (entry.name.as_str(), entry.address.to_string().as_str()),
            ("db", "10.0.0.7")
        );
        assert_eq!(parse_host_entry("db:fd00::1").unwrap().address.to_string(), "fd00::1");
        for text in ["db", ":10.0.0.7", "db:", "db:host"] {
            assert!(parse_host_entry(text).is_err(), "{text}");
        }
    }
}
