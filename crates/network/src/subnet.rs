//! The network behind the bridge: which addresses it has, and what is made of an address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::addresses::Index;

/// The shortest and the longest prefix: from 65,534 addresses to six.
const PREFIXES: RangeInclusive<u8> = 16..=29;

/// The networks that are tried, in order, where none is configured. Docker and podman begin elsewhere, and so do the usual private clouds.
const USUAL: [Subnet; 4] = [
    Subnet::usual(172, 30, 224),
    Subnet::usual(10, 213, 224),
    Subnet::usual(192, 168, 224),
    Subnet::usual(10, 87, 224),
];

/// Where networks that tasks share are looked for, in order: every /24 in it, as far as it is free.
const SHARED: [[u8; 2]; 3] = [[172, 30], [10, 213], [10, 87]];

/// A network: its first address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    first: u32,
    prefix: u8,
}

/// Why a text names no network that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// It is no address and prefix.
    #[error("{text:?} is no network; one looks like {example}")]
    Malformed {
        /// The text.
        text: String,
        /// One that is.
        example: &'static str,
    },
    /// The prefix is too long or too short.
    #[error("a network with the prefix /{prefix} cannot be used; /{} to /{} can", usable.start(), usable.end())]
    Prefix {
        /// The prefix.
        prefix: u8,
        /// Those that can be used.
        usable: RangeInclusive<u8>,
    },
    /// The address is not its first one.
    #[error("{address}/{prefix} is no network: its first address is {first}")]
    NotFirst {
        /// The address.
        address: IpAddr,
        /// The prefix.
        prefix: u8,
        /// The network's first address.
        first: IpAddr,
    },
}

impl Subnet {
    const fn usual(a: u8, b: u8, c: u8) -> Self {
        Self {
            first: u32::from_be_bytes([a, b, c, 0]),
            prefix: 20,
        }
    }

    /// The usual network that has no address in common with any of `taken`.
    #[must_use]
    pub fn free(taken: &[Self]) -> Option<Self> {
        USUAL
            .into_iter()
            .find(|subnet| !taken.iter().any(|other| subnet.overlaps(*other)))
    }

    /// A network for tasks to share that has no address in common with any of `taken`.
    #[must_use]
    pub fn free_shared(taken: &[Self]) -> Option<Self> {
        let all = SHARED.into_iter().flat_map(|[a, b]| {
            (0..=u8::MAX).map(move |c| Self {
                first: u32::from_be_bytes([a, b, c, 0]),
                prefix: 24,
            })
        });
        all.into_iter()
            .find(|subnet| !taken.iter().any(|other| subnet.overlaps(*other)))
    }

    /// The network that `address` is in.
    #[must_use]
    pub fn around(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        let mask = u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
        Self {
            first: u32::from(address) & mask,
            prefix,
        }
    }

    /// Whether hosts can have addresses of it: it is neither "this network", nor multicast, nor reserved (RFC 6890).
    #[must_use]
    pub fn is_of_hosts(self) -> bool {
        (1..224).contains(&(self.first >> 24))
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

    /// The bridge's address, the first that an interface can have.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    /// How many guests there can be: all addresses but the network's, the bridge's and the last one.
    #[must_use]
    pub fn guests(self) -> Index {
        (1 << (32 - self.prefix)) - 3
    }

    /// The address of a guest, counted from 0.
    #[must_use]
    pub fn address(self, guest: Index) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 2 + guest)
    }

    /// The guest with this address.
    #[must_use]
    pub fn guest(self, address: Ipv4Addr) -> Option<Index> {
        let guest = u32::from(address).checked_sub(self.first + 2)?;
        (guest < self.guests()).then_some(guest)
    }
}

/// The hardware address of the interface with this address: locally administered, and the same whenever it is asked for.
#[must_use]
pub fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [2, 0x6d, a, b, c, d]
}

/// A hardware address as programs write it.
#[must_use]
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The address and the prefix in `text`, of which `usable` ones can be; `example` is a text that is right.
///
/// # Errors
/// [`SubnetError::Malformed`], [`SubnetError::Prefix`]
pub fn split<A: FromStr>(
    text: &str,
    usable: RangeInclusive<u8>,
    example: &'static str,
) -> Result<(A, u8), SubnetError> {
    let parse = || {
        let (address, prefix) = text.split_once('/')?;
        Some((address.parse().ok()?, prefix.parse().ok()?))
    };
    let (address, prefix) = parse().ok_or_else(|| SubnetError::Malformed {
        text: text.to_owned(),
        example,
    })?;
    if usable.contains(&prefix) {
        Ok((address, prefix))
    } else {
        Err(SubnetError::Prefix { prefix, usable })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let (address, prefix): (Ipv4Addr, _) = split(text, PREFIXES, "172.30.224.0/20")?;
        let subnet = Self::around(address, prefix);
        if subnet.first != u32::from(address) {
            return Err(SubnetError::NotFirst {
                address: address.into(),
                prefix,
                first: Ipv4Addr::from(subnet.first).into(),
            });
        }
        Ok(subnet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_refused(text: &str, expected: &str) {
        let sentence = text.parse::<Subnet>().unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}");
    }

    #[test]
    fn addresses_count_from_behind_the_bridge() {
        let subnet: Subnet = "172.30.224.0/29".parse().unwrap();
        assert_eq!(subnet.gateway(), Ipv4Addr::new(172, 30, 224, 1));
        assert_eq!(
            (subnet.guests(), subnet.address(0)),
            (5, Ipv4Addr::new(172, 30, 224, 2))
        );
        assert_eq!(subnet.address(4), Ipv4Addr::new(172, 30, 224, 6));
        assert_eq!(subnet.guest(Ipv4Addr::new(172, 30, 224, 7)), None);
        assert_eq!(subnet.guest(subnet.gateway()), None);
        assert_eq!(subnet.guest(Ipv4Addr::UNSPECIFIED), None);
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_is() {
        check_refused("172.30.224.0", "one looks like");
        check_refused("fd00::/64", "one looks like");
        check_refused("172.30.224.0/8", "/16 to /29");
        check_refused("172.30.224.9/24", "its first address is 172.30.224.0");
    }

    #[test]
    fn a_network_that_the_host_has_is_not_taken() {
        let taken: Vec<Subnet> = ["172.16.0.0/16", "10.0.0.0/16"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        assert_eq!(Subnet::free(&taken).unwrap().to_string(), "172.30.224.0/20");
        let private = [Subnet::around(Ipv4Addr::new(172, 16, 0, 0), 12)];
        assert_eq!(Subnet::free(&private).unwrap().to_string(), "10.213.224.0/20");
        assert_eq!(Subnet::free(&[Subnet::around(Ipv4Addr::UNSPECIFIED, 0)]), None);
    }

    #[test]
    fn some_addresses_are_of_no_host() {
        for (text, expected) in [("10.0.0.0/16", true), ("0.0.0.0/16", false), ("224.0.0.0/24", false)] {
            assert_eq!(text.parse::<Subnet>().unwrap().is_of_hosts(), expected, "{text}");
        }
    }

    #[test]
    fn networks_to_share_lie_beside_each_other() {
        let mut taken = vec!["172.30.1.0/24".parse().unwrap()];
        let mut next = || {
            let subnet = Subnet::free_shared(&taken).unwrap();
            taken.push(subnet);
            subnet.to_string()
        };
        assert_eq!([next(), next()], ["172.30.0.0/24", "172.30.2.0/24"]);
        taken.push("172.30.0.0/16".parse().unwrap());
        assert_eq!(Subnet::free_shared(&taken).unwrap().to_string(), "10.213.0.0/24");
        assert_eq!(Subnet::free_shared(&[Subnet::around(Ipv4Addr::UNSPECIFIED, 0)]), None);
    }

    #[test]
    fn a_hardware_address_is_made_of_the_address() {
        assert_eq!(mac_text(mac(Ipv4Addr::new(172, 30, 224, 2))), "02:6d:ac:1e:e0:02");
    }

    proptest! {
        #[test]
        fn guests_and_addresses_belong_to_each_other(first: u32, prefix in 16u8..=29, guest: u32) {
            let subnet = Subnet::around(first.into(), prefix);
            let guest = guest % subnet.guests();
            prop_assert_eq!(subnet.guest(subnet.address(guest)), Some(guest));
            prop_assert_eq!(subnet.to_string().parse::<Subnet>(), Ok(subnet));
            prop_assert!(subnet.address(guest) != subnet.gateway());
        }
    }
}
