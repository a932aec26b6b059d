//! The names of one network: who in it is called what.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::question::Question;

/// Guests by name, in a network that has one.
#[derive(Debug)]
pub struct Names {
    /// In small letters.
    network: String,
    // Whoever attaches and detaches changes it, and the forwarder looks in: for a moment.
    guests: Mutex<BTreeMap<Ipv4Addr, Guest>>,
}

#[derive(Debug)]
struct Guest {
    /// In small letters.
    name: String,
    address_ipv6: Option<Ipv6Addr>,
}

impl Names {
    /// Of the network called `network`, with nobody in it.
    #[must_use]
    pub fn new(network: &str) -> Self {
        Self {
            network: network.to_ascii_lowercase(),
            guests: Mutex::default(),
        }
    }

    /// The guest at `address`, and at `address_ipv6` where it has one, is called `name`.
    pub fn put(&self, address: Ipv4Addr, address_ipv6: Option<Ipv6Addr>, name: &str) {
        let name = name.to_ascii_lowercase();
        self.lock().insert(address, Guest { name, address_ipv6 });
    }

    /// Nobody is at `address` any more.
    pub fn remove(&self, address: Ipv4Addr) {
        self.lock().remove(&address);
    }

    /// The answer to `message`, where that asks for somebody in this network by name, alone or with the network's behind it, or for somebody's name.
    #[must_use]
    pub fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let question = Question::parse(message)?;
        let guests = self.lock();
        if let Some(address) = question.reversed() {
            let guest = match address {
                IpAddr::V4(address) => guests.get(&address),
                IpAddr::V6(address) => guests.values().find(|guest| guest.address_ipv6 == Some(address)),
            };
            return Some(question.with_name(&format!("{}.{}", guest?.name, self.network)));
        }
        let is_asked_for = |name: &str| {
            let behind = question.name.strip_prefix(name);
            behind.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.') == Some(&self.network))
        };
        let asked_for = guests.iter().filter(|(_, guest)| is_asked_for(&guest.name));
        let addresses =
            asked_for.flat_map(|(address, guest)| [Some((*address).into()), guest.address_ipv6.map(IpAddr::V6)]);
        let addresses: Vec<IpAddr> = addresses.flatten().collect();
        (!addresses.is_empty()).then(|| question.with_addresses(&addresses))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Ipv4Addr, Guest>> {
        // Each change is one.
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::question::tests::question;
    use super::*;

    const WEB: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);
    const WEB_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

    fn names() -> Names {
        let names = Names::new("Front");
        names.put(WEB, Some(WEB_IPV6), "Web");
        names.put(Ipv4Addr::new(172, 30, 0, 3), None, "db.main");
        names
    }

    #[track_caller]
    fn check(names: &Names, asked: &str, expected: Option<Ipv4Addr>) {
        let answer = names.answer(&question(asked, 1));
        assert_eq!(answer.is_some(), expected.is_some(), "{asked}");
        if let (Some(answer), Some(address)) = (answer, expected) {
            assert!(answer.ends_with(&address.octets()), "{asked}");
        }
    }

    #[test]
    fn a_guest_is_found_by_its_name_with_or_without_the_networks() {
        let names = names();
        for asked in ["web", "WEB", "web.front", "Web.FRONT"] {
            check(&names, asked, Some(WEB));
        }
        check(&names, "db.main", Some(Ipv4Addr::new(172, 30, 0, 3)));
        for asked in [
            "front",
            "we",
            "web.back",
            "web.front.example",
            "webfront",
            "main",
            "a.web",
        ] {
            check(&names, asked, None);
        }
        names.remove(WEB);
        check(&names, "web", None);
    }

    #[test]
    fn a_guest_without_an_ipv6_address_has_none_and_is_not_asked_for_elsewhere() {
        let names = names();
        assert!(
            names
                .answer(&question("web", 28))
                .unwrap()
                .ends_with(&WEB_IPV6.octets())
        );
        let asked = question("db.main", 28);
        let answer = names.answer(&asked).unwrap();
        // No failure, no answers.
        assert_eq!(
            (answer[3], &answer[6..8], answer.len()),
            (0x80, &[0, 0][..], asked.len())
        );
        assert_eq!(names.answer(&question("other", 28)), None);
    }

    #[test]
    fn an_address_of_the_network_has_a_name_and_others_are_asked_for_elsewhere() {
        let names = names();
        let answer = names.answer(&question("2.0.30.172.in-addr.arpa", 12)).unwrap();
        assert!(answer.ends_with(b"\x03web\x05front\0"));
        let nibbles = format!("2{}.0.0.d.f.ip6.arpa", ".0".repeat(27));
        let answer = names.answer(&question(&nibbles, 12)).unwrap();
        assert!(answer.ends_with(b"\x03web\x05front\0"));
        let other = nibbles.replacen('2', "3", 1);
        assert_eq!(names.answer(&question(&other, 12)), None);
        assert_eq!(names.answer(&question("9.0.30.172.in-addr.arpa", 12)), None);
        assert_eq!(names.answer(b"nonsense"), None);
    }
}
