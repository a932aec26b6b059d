//! A network of either kind, where it does not matter of which: in routes, and in what is said of them.

use std::fmt;
use std::net::IpAddr;

use crate::ipv6::Ipv6Subnet;
use crate::subnet::Subnet;

/// A network of IPv4 or of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cidr {
    /// Of IPv4.
    V4(Subnet),
    /// Of IPv6.
    V6(Ipv6Subnet),
}

impl Cidr {
    /// Where a route leads, as `ip` shows it: a network or one address; `None` for the default route.
    #[must_use]
    pub fn of_route(destination: &str) -> Option<Self> {
        let (address, prefix) = match destination.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
            None => (destination, None),
        };
        match (address.parse().ok()?, prefix) {
            (_, Some(0)) => None,
            (IpAddr::V4(address), prefix) => Some(Self::V4(Subnet::around(address, prefix.unwrap_or(32)))),
            (IpAddr::V6(address), prefix) => Some(Self::V6(Ipv6Subnet::around(address, prefix.unwrap_or(128)))),
        }
    }

    /// Whether both have an address in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::V4(one), Self::V4(other)) => one.overlaps(other),
            (Self::V6(one), Self::V6(other)) => one.overlaps(other),
            (Self::V4(_), Self::V6(_)) | (Self::V6(_), Self::V4(_)) => false,
        }
    }

    /// Whether hosts can have addresses of it.
    #[must_use]
    pub fn is_of_hosts(self) -> bool {
        match self {
            Self::V4(subnet) => subnet.is_of_hosts(),
            Self::V6(subnet) => subnet.is_of_hosts(),
        }
    }

    /// As a network of IPv4, where it is one.
    #[must_use]
    pub fn v4(self) -> Option<Subnet> {
        match self {
            Self::V4(subnet) => Some(subnet),
            Self::V6(_) => None,
        }
    }

    /// As a network of IPv6, where it is one.
    #[must_use]
    pub fn v6(self) -> Option<Ipv6Subnet> {
        match self {
            Self::V6(subnet) => Some(subnet),
            Self::V4(_) => None,
        }
    }
}

impl From<Subnet> for Cidr {
    fn from(subnet: Subnet) -> Self {
        Self::V4(subnet)
    }
}

impl From<Ipv6Subnet> for Cidr {
    fn from(subnet: Ipv6Subnet) -> Self {
        Self::V6(subnet)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(subnet) => subnet.fmt(formatter),
            Self::V6(subnet) => subnet.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(destination: &str, expected: Option<&str>) {
        let found = Cidr::of_route(destination).map(|found| found.to_string());
        assert_eq!(found.as_deref(), expected, "{destination}");
    }

    #[test]
    fn a_default_route_is_no_network_and_a_host_route_is_one() {
        for destination in ["default", "0.0.0.0/0", "::/0", "x", "10.0.0.0/x"] {
            check(destination, None);
        }
        check("10.1.2.3", Some("10.1.2.3/32"));
        check("10.0.0.0/8", Some("10.0.0.0/8"));
        check("fd00::1", Some("fd00::1/128"));
        check("2001:db8::/32", Some("2001:db8::/32"));
    }

    #[test]
    fn networks_of_different_kinds_have_nothing_in_common() {
        let [ten, all_ten, local] =
            ["10.1.0.0/16", "10.0.0.0/8", "fd00::/64"].map(|text| Cidr::of_route(text).unwrap());
        assert!(ten.overlaps(all_ten) && local.overlaps(local) && !ten.overlaps(local) && !local.overlaps(ten));
    }
}
