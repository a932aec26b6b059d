//! Sockets, interfaces that containers make, and both packet filters.

use std::ffi::c_int;
use std::fs;
use std::io;

use crate::{Outcome, Report, netlink, system};

const SOCKETS: &[(&str, c_int, c_int, c_int)] = &[
    ("IPv4 TCP", libc::AF_INET, libc::SOCK_STREAM, 0),
    ("IPv4 UDP", libc::AF_INET, libc::SOCK_DGRAM, 0),
    ("IPv4 raw", libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
    ("IPv6 TCP", libc::AF_INET6, libc::SOCK_STREAM, 0),
    ("IPv6 UDP", libc::AF_INET6, libc::SOCK_DGRAM, 0),
    ("unix stream", libc::AF_UNIX, libc::SOCK_STREAM, 0),
    ("unix packets", libc::AF_UNIX, libc::SOCK_SEQPACKET, 0),
    ("packet", libc::AF_PACKET, libc::SOCK_RAW, 0),
    ("vsock", libc::AF_VSOCK, libc::SOCK_STREAM, 0),
    ("netlink route", libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE),
    (
        "netlink diag",
        libc::AF_NETLINK,
        libc::SOCK_RAW,
        libc::NETLINK_SOCK_DIAG,
    ),
    (
        "netlink uevent",
        libc::AF_NETLINK,
        libc::SOCK_RAW,
        libc::NETLINK_KOBJECT_UEVENT,
    ),
    (
        "netlink netfilter",
        libc::AF_NETLINK,
        libc::SOCK_RAW,
        libc::NETLINK_NETFILTER,
    ),
];

/// Kinds of interfaces, and whether each stands on another.
const INTERFACES: &[(&str, bool)] = &[("dummy", false), ("veth", false), ("bridge", false), ("macvlan", true)];

/// nftables' families and their numbers.
const FAMILIES: &[(&str, u8)] = &[("inet", 1), ("ip", 2), ("ip6", 10)];

const EXPRESSIONS: &[&str] = &[
    "cmp",
    "counter",
    "ct",
    "fib",
    "hash",
    "immediate",
    "limit",
    "log",
    "lookup",
    "masq",
    "match",
    "meta",
    "nat",
    "payload",
    "redir",
    "reject",
    "target",
];

const TABLES: &[&str] = &["filter", "nat", "mangle", "raw"];

const TARGETS: &[&str] = &[
    "CONNMARK",
    "CT",
    "DNAT",
    "LOG",
    "MARK",
    "MASQUERADE",
    "REDIRECT",
    "REJECT",
    "SNAT",
    "TCPMSS",
    "TPROXY",
];

const MATCHES: &[&str] = &[
    "addrtype",
    "comment",
    "connmark",
    "conntrack",
    "icmp",
    "iprange",
    "limit",
    "mark",
    "multiport",
    "owner",
    "socket",
    "state",
    "statistic",
    "tcp",
    "udp",
];

const CONGESTION: &[&str] = &["bbr", "cubic", "reno"];

const SETTINGS: &[&str] = &[
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv4/ip_unprivileged_port_start",
    "/proc/sys/net/ipv4/tcp_syncookies",
    "/proc/sys/net/ipv6/conf/all/forwarding",
    "/proc/sys/net/bridge/bridge-nf-call-iptables",
    "/proc/sys/net/netfilter/nf_conntrack_max",
    "/proc/net/fib_trie",
    "/dev/net/tun",
];

pub fn check(report: &mut Report) -> io::Result<()> {
    for (name, family, kind, protocol) in SOCKETS {
        let outcome = system::socket(*family, *kind, *protocol);
        report.record(
            &format!("socket {name}"),
            outcome.map(drop).map_err(|error| error.to_string()),
        )?;
    }
    for (kind, stands_on_another) in INTERFACES {
        report.record(&format!("interface {kind}"), interface(kind, *stands_on_another))?;
    }
    for path in SETTINGS {
        let outcome = fs::metadata(path).map(drop).map_err(|error| error.to_string());
        report.record(path, outcome)?;
    }
    let known = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control").unwrap_or_default();
    for name in CONGESTION {
        report.record(&format!("TCP congestion control {name}"), contains(&known, name))?;
    }
    nftables(report)?;
    for (family, level, version) in [
        (libc::AF_INET, libc::IPPROTO_IP, ""),
        (libc::AF_INET6, libc::IPPROTO_IPV6, "6"),
    ] {
        iptables(report, family, level, version)?;
    }
    Ok(())
}

fn contains(words: &str, word: &str) -> Outcome {
    if words.split_whitespace().any(|found| found == word) {
        Ok(())
    } else {
        Err("not listed".to_owned())
    }
}

fn interface(kind: &str, stands_on_another: bool) -> Outcome {
    let parent = if stands_on_another {
        let index = fs::read_to_string("/sys/class/net/a-dummy/ifindex").map_err(|error| error.to_string())?;
        Some(index.trim().parse().map_err(|_| format!("interface index {index}"))?)
    } else {
        None
    };
    netlink::create_interface(&format!("a-{kind}"), kind, parent).map_err(|error| error.to_string())
}

/// Tables and address translation are made; expressions are known if a rule with an empty one is refused for its
/// emptiness, not for its name.
fn nftables(report: &mut Report) -> io::Result<()> {
    const NEW_TABLE: u16 = 0;
    const NEW_CHAIN: u16 = 3;
    const NEW_RULE: u16 = 6;
    let text = |error: io::Error| error.to_string();
    report.record("nftables answers", netlink::nftables_generation().map_err(text))?;
    for (name, family) in FAMILIES {
        let made = netlink::nftables(*family, NEW_TABLE, &netlink::string(1, "table"));
        report.record(&format!("nftables table {name}"), made.map_err(text))?;
        // Hook 4 is postrouting; priority 100 is where source addresses are translated.
        let hook = [
            netlink::attribute(1, &4_u32.to_be_bytes()),
            netlink::attribute(2, &100_u32.to_be_bytes()),
        ]
        .concat();
        let chain = [
            netlink::string(1, "table"),
            netlink::string(3, "chain"),
            netlink::attribute(4, &hook),
            netlink::string(7, "nat"),
        ];
        let made = netlink::nftables(*family, NEW_CHAIN, &chain.concat());
        report.record(&format!("nftables nat chain {name}"), made.map_err(text))?;
    }
    for name in EXPRESSIONS {
        let element = netlink::attribute(1, &[netlink::string(1, name), netlink::attribute(2, &[])].concat());
        let rule = [
            netlink::string(1, "table"),
            netlink::string(2, "chain"),
            netlink::attribute(4, &element),
        ];
        let outcome = match netlink::nftables(2, NEW_RULE, &rule.concat()) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Err("not known".to_owned()),
            _ => Ok(()),
        };
        report.record(&format!("nftables expression {name}"), outcome)?;
    }
    Ok(())
}

/// The tables of iptables-legacy, then the names of what both kinds of iptables use.
fn iptables(report: &mut Report, family: c_int, level: c_int, version: &str) -> io::Result<()> {
    /// IPT_SO_GET_INFO and the size of struct ipt_getinfo, whose first 32 bytes are the table's name.
    const GET_INFO: c_int = 64;
    const INFO_LEN: usize = 84;
    for table in TABLES {
        let mut info = [0; INFO_LEN];
        info[..table.len()].copy_from_slice(table.as_bytes());
        let outcome = system::socket(family, libc::SOCK_RAW, libc::IPPROTO_RAW)
            .and_then(|socket| system::socket_option(&socket, level, GET_INFO, &mut info));
        report.record(
            &format!("ip{version}tables table {table}"),
            outcome.map_err(|error| error.to_string()),
        )?;
    }
    for (kind, names) in [("targets", TARGETS), ("matches", MATCHES)] {
        let known = fs::read_to_string(format!("/proc/net/ip{version}_tables_{kind}")).unwrap_or_default();
        for name in names {
            let name = if version == "6" && *name == "icmp" {
                "icmp6"
            } else {
                name
            };
            report.record(&format!("ip{version}tables {kind} {name}"), contains(&known, name))?;
        }
    }
    Ok(())
}
