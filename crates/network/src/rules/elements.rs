//! Networks, guests and ports, as elements of the sets and maps that the rules look into.

use std::net::{IpAddr, Ipv6Addr};

use super::{Guest, Reach, Segment};
use crate::ipv6::link_local;
use crate::ports::Published;
use crate::subnet::{mac, mac_text};
use crate::taps::tap_name;

pub(super) fn network(verb: &str, segment: &Segment<'_>) -> String {
    let Segment {
        bridge,
        subnet,
        ipv6,
        reach,
    } = segment;
    let gateway = subnet.gateway();
    let mut elements = vec![
        ("bridges", format!("\"{bridge}\"")),
        ("gateways", format!("\"{bridge}\" . {gateway}")),
        ("subnets", subnet.to_string()),
    ];
    if let Some(ipv6) = ipv6 {
        elements.push(("gateways_ipv6", format!("\"{bridge}\" . {}", ipv6.gateway())));
        elements.push(("subnets_ipv6", ipv6.to_string()));
    }
    if reach.has_peers() {
        elements.push(("shared", format!("\"{bridge}\" . \"{bridge}\"")));
    }
    if *reach == Reach::EachOther {
        elements.push(("internal", format!("\"{bridge}\"")));
    }
    let lines = elements.iter();
    lines
        .map(|(set, element)| format!("{verb} element inet mote {set} {{ {element} }}\n"))
        .collect()
}

/// These guests and their ports, in addition.
#[must_use]
pub fn addition(guests: &[Guest<'_>]) -> String {
    change("add", guests)
}

/// Without these guests and their ports.
#[must_use]
pub fn deletion(guests: &[Guest<'_>]) -> String {
    change("delete", guests)
}

/// The ports of this guest, in addition.
#[must_use]
pub fn publication(guest: &Guest<'_>) -> String {
    ports("add", guest)
}

/// Without the ports of this guest.
#[must_use]
pub fn withdrawal(guest: &Guest<'_>) -> String {
    ports("delete", guest)
}

fn change(verb: &str, guests: &[Guest<'_>]) -> String {
    let all = guests.iter();
    let sixth = || guests.iter().filter_map(|guest| Some((guest, guest.address_ipv6?)));
    let sets = [
        (
            "guests",
            all.clone()
                .map(|guest| format!("{} . {}", interface(guest), guest.address))
                .collect(),
        ),
        (
            "with_peers",
            all.filter(|guest| guest.has_peers)
                .map(|guest| format!("\"{}\"", tap_name(guest.address)))
                .collect(),
        ),
        ("guests_ipv6", sixth().flat_map(own).collect()),
        ("advertised", sixth().flat_map(advertised).collect()),
        (
            "solicited",
            sixth()
                .map(|(guest, address)| format!("{} : {}", raw(address), mac_text(mac(guest.address))))
                .collect(),
        ),
    ];
    let elements = sets
        .iter()
        .filter(|(_, elements): &&(_, Vec<String>)| !elements.is_empty());
    let mut text: String = elements
        .map(|(set, elements)| format!("{verb} element bridge mote {set} {{ {} }}\n", elements.join(", ")))
        .collect();
    text.extend(guests.iter().map(|guest| ports(verb, guest)));
    text
}

/// Who a guest is: its interface and its hardware address.
fn interface(guest: &Guest<'_>) -> String {
    format!("\"{}\" . {}", tap_name(guest.address), mac_text(mac(guest.address)))
}

/// What it may send from: its address, and the one that it makes of its hardware address.
fn own((guest, address): (&Guest<'_>, Ipv6Addr)) -> [String; 2] {
    [address, link_local(mac(guest.address))].map(|address| format!("{} . {address}", interface(guest)))
}

/// What it may say that it has: the same.
fn advertised((guest, address): (&Guest<'_>, Ipv6Addr)) -> [String; 2] {
    [address, link_local(mac(guest.address))].map(|address| format!("{} . {}", interface(guest), raw(address)))
}

/// An address where `nft` knows of none, but of a number of 128 bits.
fn raw(address: Ipv6Addr) -> String {
    format!("{:#034x}", u128::from(address))
}

fn ports(verb: &str, guest: &Guest<'_>) -> String {
    let ipv4 = Some(IpAddr::V4(guest.address));
    let addresses = [ipv4, guest.address_ipv6.map(IpAddr::V6)];
    let each = guest
        .ports
        .iter()
        .flat_map(|port| addresses.iter().flatten().map(move |address| (port, address)));
    each.filter_map(|(port, address)| map_element(verb, *address, port))
        .collect()
}

/// Nothing where the port is published at an address of the other kind.
fn map_element(verb: &str, address: IpAddr, port: &Published) -> Option<String> {
    let protocol = if port.is_udp { "udp" } else { "tcp" };
    let (kind, to) = match address {
        IpAddr::V4(address) => ("", address.to_string()),
        IpAddr::V6(address) => ("_ipv6", format!("[{address}]")),
    };
    let (at, from) = match port.host_address {
        Some(host) if host.is_ipv4() != address.is_ipv4() => return None,
        Some(host) if !host.is_unspecified() => ("_at", format!("{host} . ")),
        Some(_) | None => ("", String::new()),
    };
    let Published { host_port, port, .. } = port;
    Some(format!(
        "{verb} element inet mote published{kind}{at} {{ {from}{protocol} . {host_port} : {to} . {port} }}\n"
    ))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 30, 224, 9);

    const GUEST: Guest<'_> = Guest {
        address: ADDRESS,
        address_ipv6: None,
        has_peers: false,
        ports: &[],
    };

    /// A guest with both addresses.
    fn with_ipv6(ports: &[Published]) -> Guest<'_> {
        Guest {
            address_ipv6: Some("fd00::9".parse().unwrap()),
            has_peers: true,
            ports,
            ..GUEST
        }
    }

    #[test]
    fn a_guest_is_its_interface_and_both_addresses() {
        assert_eq!(
            addition(&[GUEST]),
            "add element bridge mote guests { \"mote-ac1ee009\" . 02:6d:ac:1e:e0:09 . 172.30.224.9 }\n"
        );
        assert_eq!(addition(&[]), "");
        assert!(deletion(&[GUEST]).starts_with("delete element"));
        let with_peers = Guest {
            has_peers: true,
            ..GUEST
        };
        assert!(addition(&[with_peers]).ends_with("add element bridge mote with_peers { \"mote-ac1ee009\" }\n"));
    }

    #[test]
    fn a_guest_with_ipv6_has_two_addresses_to_send_from_and_one_to_be_asked_for() {
        let text = addition(&[with_ipv6(&[]), GUEST]);
        let who = "\"mote-ac1ee009\" . 02:6d:ac:1e:e0:09";
        let raw = [
            "0xfd000000000000000000000000000009",
            "0xfe80000000000000006dacfffe1ee009",
        ];
        for line in [
            format!("guests_ipv6 {{ {who} . fd00::9, {who} . fe80::6d:acff:fe1e:e009 }}"),
            format!("advertised {{ {who} . {}, {who} . {} }}", raw[0], raw[1]),
            format!("solicited {{ {} : 02:6d:ac:1e:e0:09 }}", raw[0]),
        ] {
            assert!(text.contains(&format!("add element bridge mote {line}\n")), "{text}");
        }
        assert_eq!(text.lines().count(), 5, "{text}");
    }

    #[test]
    fn a_port_is_published_everywhere_or_at_one_address() {
        let check = |has_ipv6: bool, host_address: Option<&str>, expected: &[&str]| {
            let ports = [Published {
                host_address: host_address.map(|address| address.parse().unwrap()),
                host_port: 8080,
                port: 80,
                is_udp: host_address.is_some(),
            }];
            let ports = &ports;
            let guest = if has_ipv6 {
                with_ipv6(ports)
            } else {
                Guest { ports, ..GUEST }
            };
            let text = publication(&guest);
            assert_eq!(withdrawal(&guest), text.replace("add", "delete"));
            let found: Vec<&str> = text
                .lines()
                .map(|line| line.strip_prefix("add element inet mote published").unwrap())
                .collect();
            assert_eq!(found, expected);
        };
        let [fourth, sixth] = ["172.30.224.9 . 80 }", "[fd00::9] . 80 }"];
        let everywhere = |kind: &str, protocol: &str, to: &str| format!("{kind} {{ {protocol} . 8080 : {to}");
        check(false, None, &[&everywhere("", "tcp", fourth)]);
        let both = [everywhere("", "tcp", fourth), everywhere("_ipv6", "tcp", sixth)];
        check(true, None, &both.each_ref().map(String::as_str));
        check(true, Some("0.0.0.0"), &[&everywhere("", "udp", fourth)]);
        check(true, Some("::"), &[&everywhere("_ipv6", "udp", sixth)]);
        let at = |kind: &str, address: &str, to: &str| format!("{kind}_at {{ {address} . udp . 8080 : {to}");
        check(false, Some("127.0.0.1"), &[&at("", "127.0.0.1", fourth)]);
        check(true, Some("2001:db8::1"), &[&at("_ipv6", "2001:db8::1", sixth)]);
    }
}
