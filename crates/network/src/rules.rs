//! What the packet filter is told, as text for `nft -f -`: two tables of our own, and nothing else is ever touched.
//!
//! `inet mote` translates addresses and says who may talk to whom; `bridge mote` makes sure that who talks is who it says it is. Networks and guests
//! are elements of sets, published ports elements of maps: rules do not change while they come and go.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::ports::Published;
use crate::subnet::{Subnet, mac, mac_text};
use crate::taps::{TAP_PREFIX, tap_name};

/// What comes and goes with networks and ports.
const SETS: &str = "    map published_at {
        type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
    }
    map published {
        type inet_proto . inet_service : ipv4_addr . inet_service
    }
    set bridges {
        type ifname
    }
    set gateways {
        type ifname . ipv4_addr
    }
    set subnets {
        type ipv4_addr
        flags interval
    }
    set shared {
        type ifname . ifname
    }
    set internal {
        type ifname
    }
";

/// What the rules are about.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The network of all guests that are in no other.
    pub usual: Segment<'a>,
    /// The address of the bridge's at which a guest asks about itself; TCP port 80.
    pub metadata: Ipv4Addr,
}

/// A bridge and the network behind it.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The bridge.
    pub bridge: &'a str,
    /// The network.
    pub subnet: Subnet,
    /// Who its guests may talk to.
    pub reach: Reach,
}

/// Who the guests of a network may talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody but each other.
    World,
    /// Each other, and everybody beyond the host.
    WorldAndEachOther,
    /// Each other, and nobody else.
    EachOther,
}

impl Reach {
    /// Whether they may talk to each other.
    #[must_use]
    pub fn has_peers(self) -> bool {
        self != Self::World
    }
}

/// A guest's address, and what is published of it.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether the others of its network may be talked to.
    pub has_peers: bool,
    /// Its ports.
    pub ports: &'a [Published],
}

/// Both tables with these networks beside the usual one and these guests, in place of what was there.
#[must_use]
pub fn tables(place: &Place<'_>, others: &[Segment<'_>], guests: &[Guest<'_>]) -> String {
    let mut text = removal() + &who_is_who(place) + &who_talks_to_whom(place) + &opening(&place.usual);
    text.extend(others.iter().map(opening));
    text + &addition(guests)
}

/// The table that makes sure that guests are who they say they are.
///
/// Guests of the usual network talk to the bridge and to nobody else. What leads to another guest's published port is then routed, or, where the host has
/// the bridge ask the other table too (`bridge-nf-call-iptables`), turned to the other guest by the bridge itself. Guests with peers talk to whom their
/// bridge knows: it has no way to those of another one.
fn who_is_who(place: &Place<'_>) -> String {
    let hardware = mac_text(mac(place.usual.subnet.gateway()));
    format!(
        r#"
table bridge mote {{
    set guests {{
        type ifname . ether_addr . ipv4_addr
    }}
    set with_peers {{
        type ifname
    }}
    chain prerouting {{
        type filter hook prerouting priority -300; policy accept;
        iifname != "{TAP_PREFIX}*" accept
        ether daddr != {{ {hardware}, ff:ff:ff:ff:ff:ff }} iifname != @with_peers drop
        ether type ip iifname . ether saddr . ip saddr @guests accept
        ether type arp iifname . ether saddr . arp saddr ip @guests iifname . arp saddr ether . arp saddr ip @guests accept
        drop
    }}
}}
"#
    )
}

/// The table that translates addresses and says who may talk to whom.
///
/// An address is translated before it is routed: from outside, and from this host. A guest that talks to its bridge means the bridge, whatever is
/// published. What comes back from a guest to a connection from 127.0.0.1 is addressed to the bridge, so nothing else may be for 127.0.0.1.
fn who_talks_to_whom(place: &Place<'_>) -> String {
    let metadata = place.metadata;
    let translation = "fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @published_at
        fib daddr type local dnat ip to meta l4proto . th dport map @published";
    format!(
        r#"
table inet mote {{
{SETS}    chain early {{
        type filter hook prerouting priority raw; policy accept;
        iifname @bridges ip daddr 127.0.0.0/8 drop
    }}
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        iifname . ip daddr @gateways accept
        iifname @bridges ip daddr {metadata} accept
        {translation}
    }}
    chain output {{
        type nat hook output priority -100; policy accept;
        {translation}
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname != @bridges ip saddr @subnets masquerade
        oifname @bridges ct status dnat ip saddr 127.0.0.0/8 masquerade
        oifname @bridges ct status dnat ip saddr @subnets masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname != @bridges oifname != @bridges accept
        ct state established,related accept
        iifname . oifname @shared accept
        iifname @internal reject with icmpx admin-prohibited
        oifname @internal drop
        oifname @bridges ct status dnat accept
        iifname @bridges oifname @bridges reject with icmpx admin-prohibited
        oifname @bridges drop
        ip daddr 169.254.0.0/16 drop
    }}
    chain input {{
        type filter hook input priority filter; policy accept;
        iifname != @bridges accept
        ct state established,related accept
        iifname . ip daddr @gateways meta l4proto {{ tcp, udp }} th dport 53 accept
        iifname . ip daddr @gateways icmp type echo-request accept
        ip daddr {metadata} tcp dport 80 accept
        reject with icmpx admin-prohibited
    }}
}}
"#
    )
}

/// This network, in addition.
#[must_use]
pub fn opening(segment: &Segment<'_>) -> String {
    network("add", segment)
}

/// Without this network.
#[must_use]
pub fn closing(segment: &Segment<'_>) -> String {
    network("delete", segment)
}

fn network(verb: &str, segment: &Segment<'_>) -> String {
    let Segment { bridge, subnet, reach } = segment;
    let gateway = subnet.gateway();
    let mut elements = vec![
        ("bridges", format!("\"{bridge}\"")),
        ("gateways", format!("\"{bridge}\" . {gateway}")),
        ("subnets", subnet.to_string()),
    ];
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

/// No table of ours any more, whether there was one or not.
#[must_use]
pub fn removal() -> String {
    ["bridge", "inet"]
        .map(|family| format!("add table {family} mote\ndelete table {family} mote\n"))
        .concat()
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

/// These ports of the guest at `address`, in addition.
#[must_use]
pub fn publication(address: Ipv4Addr, ports: &[Published]) -> String {
    ports.iter().map(|port| map_element("add", address, port)).collect()
}

/// Without these ports of the guest at `address`.
#[must_use]
pub fn withdrawal(address: Ipv4Addr, ports: &[Published]) -> String {
    ports.iter().map(|port| map_element("delete", address, port)).collect()
}

fn change(verb: &str, guests: &[Guest<'_>]) -> String {
    let mut text = String::new();
    if !guests.is_empty() {
        let elements: Vec<String> = guests.iter().map(|guest| source(guest.address)).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{verb} element bridge mote guests {{ {} }}", elements.join(", "));
    }
    let with_peers = guests.iter().filter(|guest| guest.has_peers);
    let with_peers: Vec<String> = with_peers
        .map(|guest| format!("\"{}\"", tap_name(guest.address)))
        .collect();
    if !with_peers.is_empty() {
        let _ = writeln!(
            text,
            "{verb} element bridge mote with_peers {{ {} }}",
            with_peers.join(", ")
        );
    }
    for guest in guests {
        for port in guest.ports {
            text.push_str(&map_element(verb, guest.address, port));
        }
    }
    text
}

/// Who a guest is: its interface, its hardware address, its address.
fn source(address: Ipv4Addr) -> String {
    format!("\"{}\" . {} . {address}", tap_name(address), mac_text(mac(address)))
}

fn map_element(verb: &str, address: Ipv4Addr, port: &Published) -> String {
    let protocol = if port.is_udp { "udp" } else { "tcp" };
    let (map, at) = match port.host_address {
        Some(host) => ("published_at", format!("{host} . ")),
        None => ("published", String::new()),
    };
    format!(
        "{verb} element inet mote {map} {{ {at}{protocol} . {} : {address} . {} }}\n",
        port.host_port, port.port
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 30, 224, 9);

    #[test]
    fn a_guest_is_its_interface_and_both_addresses() {
        let guests = [Guest {
            address: ADDRESS,
            has_peers: false,
            ports: &[],
        }];
        assert_eq!(
            addition(&guests),
            "add element bridge mote guests { \"mote-ac1ee009\" . 02:6d:ac:1e:e0:09 . 172.30.224.9 }\n"
        );
        assert_eq!(addition(&[]), "");
        assert!(deletion(&guests).starts_with("delete element"));
        let with_peers = [Guest {
            has_peers: true,
            ..guests[0]
        }];
        assert!(addition(&with_peers).ends_with("add element bridge mote with_peers { \"mote-ac1ee009\" }\n"));
    }

    #[test]
    fn a_port_is_published_everywhere_or_at_one_address() {
        let everywhere = Published {
            host_address: None,
            host_port: 8080,
            port: 80,
            is_udp: false,
        };
        let at_one = Published {
            host_address: Some(Ipv4Addr::LOCALHOST),
            host_port: 53,
            port: 5353,
            is_udp: true,
        };
        assert_eq!(
            publication(ADDRESS, &[everywhere, at_one]),
            "add element inet mote published { tcp . 8080 : 172.30.224.9 . 80 }\n\
             add element inet mote published_at { 127.0.0.1 . udp . 53 : 172.30.224.9 . 5353 }\n"
        );
    }

    fn segment<'a>(bridge: &'a str, subnet: &str, reach: Reach) -> Segment<'a> {
        let subnet = subnet.parse().unwrap();
        Segment { bridge, subnet, reach }
    }

    #[test]
    fn a_network_is_a_few_elements_that_come_and_go_alike() {
        let sets = |reach| {
            let opened = opening(&segment("b", "10.9.8.0/24", reach));
            let closed = closing(&segment("b", "10.9.8.0/24", reach));
            assert_eq!(closed, opened.replace("add element", "delete element"));
            let lines = opened.lines();
            lines
                .map(|line| line.split(' ').nth(4).unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(sets(Reach::World), ["bridges", "gateways", "subnets"]);
        assert_eq!(
            sets(Reach::WorldAndEachOther),
            ["bridges", "gateways", "subnets", "shared"]
        );
        assert_eq!(
            sets(Reach::EachOther),
            ["bridges", "gateways", "subnets", "shared", "internal"]
        );
    }

    #[test]
    fn the_tables_are_replaced_and_no_other_is_named() {
        let place = Place {
            usual: segment("mote0", "172.30.224.0/20", Reach::World),
            metadata: Ipv4Addr::new(169, 254, 170, 2),
        };
        let text = tables(&place, &[segment("motebr-1", "10.9.8.0/24", Reach::EachOther)], &[]);
        assert!(text.starts_with("add table bridge mote\ndelete table bridge mote\n"));
        for line in text.lines().filter(|line| line.contains("table ")) {
            assert!(line.contains("bridge mote") || line.contains("inet mote"), "{line}");
        }
    }
}
