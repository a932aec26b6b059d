//! What the packet filter is told, as text for `nft -f -`: two tables of our own, and nothing else is ever touched.
//!
//! `inet mote` translates addresses and says who may talk to whom; `bridge mote` makes sure that who talks is who it says it is. Networks and guests
//! are elements of sets, published ports elements of maps: rules do not change while they come and go.

mod elements;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::ipv6::Ipv6Subnet;
use crate::ports::Published;
use crate::subnet::{Subnet, mac, mac_text};
use crate::taps::TAP_PREFIX;

use elements::network;
pub use elements::{addition, deletion, publication, withdrawal};

/// What comes and goes with networks and ports.
const SETS: &str = "    map published_at {
        type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
    }
    map published {
        type inet_proto . inet_service : ipv4_addr . inet_service
    }
    map published_ipv6_at {
        type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
    }
    map published_ipv6 {
        type inet_proto . inet_service : ipv6_addr . inet_service
    }
    set bridges {
        type ifname
    }
    set gateways {
        type ifname . ipv4_addr
    }
    set gateways_ipv6 {
        type ifname . ipv6_addr
    }
    set subnets {
        type ipv4_addr
        flags interval
    }
    set subnets_ipv6 {
        type ipv6_addr
        flags interval
    }
    set shared {
        type ifname . ifname
    }
    set internal {
        type ifname
    }
";

/// Who guests with an IPv6 address are, where there is a network of such: older versions of `nft` do not understand it, and hosts without one do not need it.
///
/// An advertisement tells of the sender's address alone. A solicitation goes to the one guest that has the address: it would be flooded to all otherwise, and
/// nothing is. Both begin with the address that they are about, 64 bits behind the header's beginning (RFC 4861, 4.3 and 4.4).
const WHO_HAS_IPV6: &str = "add set bridge mote guests_ipv6 { typeof iifname . ether saddr . ip6 saddr ; }
add set bridge mote advertised { typeof iifname . ether saddr . @th,64,128 ; }
add map bridge mote solicited { typeof @th,64,128 : ether daddr ; }
flush chain bridge mote sixth
add rule bridge mote sixth iifname . ether saddr . ip6 saddr != @guests_ipv6 drop
add rule bridge mote sixth icmpv6 type { nd-router-advert, nd-redirect } drop
add rule bridge mote sixth icmpv6 type nd-neighbor-advert iifname . ether saddr . @th,64,128 != @advertised drop
add rule bridge mote sixth icmpv6 type nd-neighbor-solicit ether daddr set @th,64,128 map @solicited
add rule bridge mote sixth accept
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
    /// Its IPv6 addresses, where it has any.
    pub ipv6: Option<Ipv6Subnet>,
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
    /// Its IPv6 address, where it has one.
    pub address_ipv6: Option<Ipv6Addr>,
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
    // Also of a network that could not be made again.
    if guests.iter().any(|guest| guest.address_ipv6.is_some()) {
        text.push_str(WHO_HAS_IPV6);
    }
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
    chain sixth {{
    }}
    chain prerouting {{
        type filter hook prerouting priority -300; policy accept;
        iifname != "{TAP_PREFIX}*" accept
        ether daddr != {{ {hardware}, ff:ff:ff:ff:ff:ff }} iifname != @with_peers drop
        ether type ip iifname . ether saddr . ip saddr @guests accept
        ether type arp iifname . ether saddr . arp saddr ip @guests iifname . arp saddr ether . arp saddr ip @guests accept
        ether type ip6 jump sixth
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
    // What is for ::1 comes from ::1, which the kernel lets nowhere else (RFC 4291, 2.5.3).
    let translation = "fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @published_at
        fib daddr type local dnat ip to meta l4proto . th dport map @published
        ip6 daddr != ::1 fib daddr type local dnat ip6 to ip6 daddr . meta l4proto . th dport map @published_ipv6_at
        ip6 daddr != ::1 fib daddr type local dnat ip6 to meta l4proto . th dport map @published_ipv6";
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
        iifname . ip6 daddr @gateways_ipv6 accept
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
        oifname != @bridges ip6 saddr @subnets_ipv6 masquerade
        oifname @bridges ct status dnat ip saddr 127.0.0.0/8 masquerade
        oifname @bridges ct status dnat ip saddr @subnets masquerade
        oifname @bridges ct status dnat ip6 saddr @subnets_ipv6 masquerade
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
        iifname . ip6 daddr @gateways_ipv6 icmpv6 type echo-request accept
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
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
    let known = if segment.ipv6.is_some() { WHO_HAS_IPV6 } else { "" };
    known.to_owned() + &network("add", segment)
}

/// Without this network.
#[must_use]
pub fn closing(segment: &Segment<'_>) -> String {
    network("delete", segment)
}

/// No table of ours any more, whether there was one or not.
#[must_use]
pub fn removal() -> String {
    ["bridge", "inet"]
        .map(|family| format!("add table {family} mote\ndelete table {family} mote\n"))
        .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment<'a>(bridge: &'a str, subnet: &str, reach: Reach) -> Segment<'a> {
        Segment {
            bridge,
            subnet: subnet.parse().unwrap(),
            ipv6: None,
            reach,
        }
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
    fn what_only_newer_programs_understand_is_there_for_networks_with_ipv6_alone() {
        let usual = segment("mote0", "172.30.224.0/20", Reach::World);
        let shared = segment("b", "10.9.8.0/24", Reach::WorldAndEachOther);
        let sixth = Segment {
            ipv6: Some("fd00::/64".parse().unwrap()),
            ..shared
        };
        let place = Place {
            usual,
            metadata: Ipv4Addr::new(169, 254, 170, 2),
        };
        let guest = Guest {
            address: Ipv4Addr::new(10, 9, 7, 2),
            address_ipv6: Some("fd00::2".parse().unwrap()),
            has_peers: true,
            ports: &[],
        };
        assert!(tables(&place, &[shared], &[guest]).contains("@th,"));
        assert!(!tables(&place, &[shared], &[]).contains("@th,"));
        assert!(tables(&place, &[sixth], &[]).contains("@th,"));
        let elements = closing(&sixth);
        assert!(elements.contains("gateways_ipv6 { \"b\" . fd00::1 }"), "{elements}");
        assert!(elements.contains("subnets_ipv6 { fd00::/64 }") && opening(&sixth).starts_with(WHO_HAS_IPV6));
        assert!(
            opening(&sixth).ends_with(&elements.replace("delete", "add")),
            "{elements}"
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
