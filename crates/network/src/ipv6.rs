//! The IPv6 addresses of a network that guests share, beside its IPv4 ones: the same guest has the same place in both.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::addresses::Index;
use crate::subnet::{self, Subnet, SubnetError};

/// The shortest and the longest prefix: the longest still has an address for each guest of the largest IPv4 network.
const PREFIXES: std::ops::RangeInclusive<u8> = 48..=112;

/// The prefix of a network that is chosen here (RFC 4193, 3.1).
const PREFIX_USUAL: u8 = 64;

/// How many networks are tried where the host has some already.
const TRIES: u64 = 64;

/// Leads from one try to the next, each in another part of all networks.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A network: its first address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Subnet {
    first: u128,
    prefix: u8,
}

impl Ipv6Subnet {
    /// A network of unique local addresses, made of random bits (RFC 4193, 3.2), that has none in common with any of `taken`.
    #[must_use]
    pub fn free(taken: &[Self], random: u64) -> Option<Self> {
        let tried = (0..TRIES).map(|n| random.wrapping_add(n.wrapping_mul(STEP)));
        let networks = tried.map(|bits| Self {
            first: u128::from(0xfd << 56 | bits >> 8) << 64,
            prefix: PREFIX_USUAL,
        });
        networks
            .into_iter()
            .find(|subnet| !taken.iter().any(|other| subnet.overlaps(*other)))
    }

    /// The network that `address` is in.
    #[must_use]
    pub fn around(address: Ipv6Addr, prefix: u8) -> Self {
        let prefix = prefix.min(128);
        let mask = u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0);
        Self {
            first: u128::from(address) & mask,
            prefix,
        }
    }

    /// Whether hosts can have addresses of it that others reach: global or unique local ones (RFC 4291, 2.4; RFC 4193).
    #[must_use]
    pub fn is_of_hosts(self) -> bool {
        self.first >> 125 == 1 || self.first >> 121 == 0xfc >> 1
    }

    /// Whether both have an address in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        Self::around(self.first.into(), prefix) == Self::around(other.first.into(), prefix)
    }

    /// The length of the prefix.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The bridge's address. The first one of the network is every router's (RFC 4291, 2.6.1).
    #[must_use]
    pub fn gateway(self) -> Ipv6Addr {
        (self.first + 1).into()
    }

    /// The address of a guest, counted from 0.
    #[must_use]
    pub fn address(self, guest: Index) -> Ipv6Addr {
        (self.first + 2 + u128::from(guest)).into()
    }

    /// The address of the guest that has `address` in the network `beside` this one.
    #[must_use]
    pub fn of_guest(self, beside: Subnet, address: Ipv4Addr) -> Option<Ipv6Addr> {
        beside.guest(address).map(|guest| self.address(guest))
    }
}

/// The address that an interface makes of its hardware address, for its own link (RFC 4291, appendix A).
#[must_use]
pub fn link_local([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f].into()
}

impl fmt::Display for Ipv6Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", Ipv6Addr::from(self.first), self.prefix)
    }
}

impl FromStr for Ipv6Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let (address, prefix): (Ipv6Addr, _) = subnet::split(text, PREFIXES, "fd12:3456:789a::/64")?;
        let subnet = Self::around(address, prefix);
        if subnet.first != u128::from(address) {
            return Err(SubnetError::NotFirst {
                address: address.into(),
                prefix,
                first: Ipv6Addr::from(subnet.first).into(),
            });
        }
        Ok(subnet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subnet(text: &str) -> Ipv6Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn a_guest_has_the_same_place_in_both_networks() {
        let (subnet, beside) = (subnet("fd00:1::/64"), "172.30.5.0/24".parse().unwrap());
        assert_eq!(subnet.gateway().to_string(), "fd00:1::1");
        let of_guest = |address: [u8; 4]| subnet.of_guest(beside, address.into()).map(|found| found.to_string());
        assert_eq!(of_guest([172, 30, 5, 2]).as_deref(), Some("fd00:1::2"));
        assert_eq!(of_guest([172, 30, 5, 254]).as_deref(), Some("fd00:1::fe"));
        assert_eq!(of_guest([172, 30, 5, 1]), None);
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_is() {
        for (text, expected) in [
            ("fd00::", "one looks like fd12:3456:789a::/64"),
            ("172.30.0.0/24", "one looks like fd12"),
            ("fd00::/127", "/48 to /112 can"),
            ("fd00::/8", "/48 to /112 can"),
            ("fd00::9/64", "its first address is fd00::"),
        ] {
            let sentence = text.parse::<Ipv6Subnet>().unwrap_err().to_string();
            assert!(sentence.contains(expected), "{sentence}");
        }
    }

    #[test]
    fn some_addresses_are_of_no_host() {
        for (text, expected) in [
            ("fd00::/64", true),
            ("2001:db8::/48", true),
            ("fe80::/64", false),
            ("ff02::/64", false),
            ("::/64", false),
        ] {
            assert_eq!(subnet(text).is_of_hosts(), expected, "{text}");
        }
    }

    #[test]
    fn a_link_local_address_is_made_of_the_hardware_address() {
        let address = link_local([0x02, 0x6d, 10, 9, 8, 2]);
        assert_eq!(address.to_string(), "fe80::6d:aff:fe09:802");
    }

    #[test]
    fn there_is_none_where_the_host_has_all() {
        let all = Ipv6Subnet::around("fc00::".parse().unwrap(), 7);
        assert_eq!(Ipv6Subnet::free(&[all], 1), None);
    }

    proptest! {
        #[test]
        fn a_chosen_network_is_unique_local_and_nobody_elses(random: u64, others in prop::collection::vec(any::<u64>(), 0..8)) {
            let mut taken: Vec<Ipv6Subnet> = others.iter().filter_map(|other| Ipv6Subnet::free(&[], *other)).collect();
            taken.extend(Ipv6Subnet::free(&[], random));
            let chosen = Ipv6Subnet::free(&taken, random).unwrap();
            prop_assert!(taken.iter().all(|other| !other.overlaps(chosen)));
            prop_assert!(chosen.to_string().starts_with("fd") && chosen.is_of_hosts());
            prop_assert_eq!(subnet(&chosen.to_string()), chosen);
        }

        #[test]
        fn addresses_of_guests_lie_in_their_network_and_differ(first: u128, prefix in 48u8..=112, one in 0u32..65_533, other in 0u32..65_533) {
            let subnet = Ipv6Subnet::around((first >> 3 | 1 << 125).into(), prefix);
            let [first, second] = [one, other].map(|guest| subnet.address(guest));
            prop_assert_eq!(Ipv6Subnet::around(first, prefix), subnet);
            prop_assert_eq!(first == second, one == other);
            prop_assert!(first != subnet.gateway());
        }
    }
}
