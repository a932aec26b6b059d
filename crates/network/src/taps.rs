//! The guests' TAP interfaces: ports of the bridge that hear nothing but what is for them.
//!
//! Who has which address is told to the bridge and to the host in advance, so nobody ever asks all guests for it: a question would wake all.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;

use crate::bridge::Bridge;
use crate::program::{self, ProgramError};
use crate::subnet::{mac, mac_text};
use crate::sysctl;

/// What the names of all our interfaces begin with.
pub const TAP_PREFIX: &str = "mote-";

/// The name of the interface of the guest with this address.
#[must_use]
pub fn tap_name(address: Ipv4Addr) -> String {
    format!("{TAP_PREFIX}{:08x}", u32::from(address))
}

/// The address of the guest whose interface has this name.
#[must_use]
pub fn tap_address(name: &str) -> Option<Ipv4Addr> {
    let number = name
        .strip_prefix(TAP_PREFIX)
        .filter(|number| number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u32::from_str_radix(number, 16).ok().map(Ipv4Addr::from)
}

/// Makes the interfaces of the guests with these addresses. To those that have peers, the bridge tells where these are.
///
/// # Errors
/// [`ProgramError`]; some may have been made.
pub async fn make(bridge: &Bridge, has_peers: bool, addresses: &[Ipv4Addr]) -> Result<(), ProgramError> {
    let (mut links, mut entries) = (String::new(), String::new());
    let Bridge { name, mtu, .. } = bridge;
    // With an address of its own the host would greet the guest for seconds, and wake it each time.
    let silent = if sysctl::has_ipv6() { " addrgenmode none" } else { "" };
    let told = if has_peers { " proxy_arp on" } else { "" };
    for &address in addresses {
        let (tap, hardware) = (tap_name(address), mac_text(mac(address)));
        // Writing to a string cannot fail.
        let _ = writeln!(links, "tuntap add dev {tap} mode tap vnet_hdr");
        let _ = writeln!(links, "link set dev {tap} mtu {mtu} master {name}{silent}");
        let _ = writeln!(
            links,
            "link set dev {tap} type bridge_slave hairpin on learning off flood off mcast_flood off bcast_flood off{told}"
        );
        let _ = writeln!(links, "link set dev {tap} up");
        for address in both(address, bridge.address_ipv6(address)) {
            let _ = writeln!(
                links,
                "neighbour replace {address} lladdr {hardware} dev {name} nud permanent"
            );
        }
        let _ = writeln!(entries, "fdb replace {hardware} dev {tap} master static");
    }
    program::ip("make a TAP interface", &links).await?;
    program::bridge("lead to a TAP interface", &entries).await
}

fn both(address: Ipv4Addr, ipv6: Option<Ipv6Addr>) -> impl Iterator<Item = IpAddr> {
    [Some(IpAddr::V4(address)), ipv6.map(IpAddr::V6)].into_iter().flatten()
}

/// Removes the interfaces of the guests with these addresses, of which some may be gone, and what `bridge` was told of them and of the IPv6 addresses
/// that they have beside.
///
/// # Errors
/// [`ProgramError`] where one of those that are there cannot be removed.
pub async fn remove(
    bridge: &str,
    addresses: &[Ipv4Addr],
    ipv6: impl Fn(Ipv4Addr) -> Option<Ipv6Addr>,
) -> Result<(), ProgramError> {
    let present: BTreeSet<Ipv4Addr> = list().await?.into_iter().collect();
    let (mut links, mut neighbours) = (String::new(), String::new());
    for address in addresses.iter().filter(|address| present.contains(address)) {
        let hardware = mac_text(mac(*address));
        // Writing to a string cannot fail.
        let _ = writeln!(links, "link delete dev {}", tap_name(*address));
        for address in both(*address, ipv6(*address)) {
            // The program ends where there is none to be deleted, whatever else is to be done.
            let _ = writeln!(
                neighbours,
                "neighbour replace {address} lladdr {hardware} dev {bridge} nud permanent\nneighbour delete {address} dev {bridge}"
            );
        }
    }
    let lines = links + &neighbours;
    let removed = program::ip_all("remove a TAP interface", &lines).await;
    let left: BTreeSet<Ipv4Addr> = list().await?.into_iter().collect();
    // What the program misses may have been gone before.
    if addresses.iter().any(|address| left.contains(address)) {
        removed
    } else {
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
struct Link {
    ifname: String,
}

/// The addresses of the guests whose interfaces are there.
///
/// # Errors
/// [`ProgramError`]
pub async fn list() -> Result<Vec<Ipv4Addr>, ProgramError> {
    let shown = program::ip_show("show the interfaces", &["link", "show"]).await?;
    let links: Vec<Link> =
        serde_json::from_slice(&shown).map_err(|source| ProgramError::Answer { program: "ip", source })?;
    Ok(links.iter().filter_map(|link| tap_address(&link.ifname)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_called_by_its_address() {
        let address = Ipv4Addr::new(172, 30, 224, 9);
        assert_eq!(tap_name(address), "mote-ac1ee009");
        assert_eq!(tap_address("mote-ac1ee009"), Some(address));
        for name in ["mote0", "mote-ac1e", "mote-zz1ee009", "eth0", "mote-+c1ee009"] {
            assert_eq!(tap_address(name), None, "{name}");
        }
    }
}
