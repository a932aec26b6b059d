//! The bridge that all guests' interfaces are ports of: the guests' gateway.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use serde::Deserialize;

use crate::cidr::Cidr;
use crate::ipv6::Ipv6Subnet;
use crate::program::{self, ProgramError};
use crate::subnet::{Subnet, mac, mac_text};
use crate::sysctl::{self, SettingError};

/// The packet size of Ethernet, in bytes: what a bridge has where nothing says otherwise.
const MTU_USUAL: u16 = 1500;

/// What every IPv4 network carries (RFC 791), in bytes.
const MTU_MIN: u16 = 576;

/// What every IPv6 network carries (RFC 8200, 5), in bytes: the kernel has no IPv6 where less is carried.
const MTU_MIN_IPV6: u16 = 1280;

/// What the names of bridges of networks that guests share begin with. An interface's name has at most 15 characters.
const SHARED_PREFIX: &str = "motebr-";

/// Why there is no bridge.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// A program failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// All networks that are tried are in use.
    #[error("this host has routes into every network that tasks could have; name a free one with --network-subnet")]
    NoSubnet,
    /// The host has the network.
    #[error("this host has a route into {subnet}, which overlaps with the tasks' network {wanted}")]
    Overlap {
        /// What the host has.
        subnet: Cidr,
        /// What was wanted.
        wanted: Cidr,
    },
    /// The host's way out is too narrow for IPv6.
    #[error(
        "this host's way out carries packets of {mtu} bytes, and IPv6 needs {MTU_MIN_IPV6}; make the network without --ipv6"
    )]
    Narrow {
        /// What it carries.
        mtu: u16,
    },
    /// Guests are in another network.
    #[error("tasks run in the network {before}, so it cannot become {wanted}; stop them first")]
    InUse {
        /// Where they are.
        before: Subnet,
        /// What was wanted.
        wanted: Subnet,
    },
    /// A setting of the kernel.
    #[error(transparent)]
    Setting(#[from] SettingError),
}

/// A bridge that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// The network behind it.
    pub subnet: Subnet,
    /// Its IPv6 addresses, where it has any.
    pub ipv6: Option<Ipv6Subnet>,
    /// The largest packet, in bytes: as large as the host's way out takes.
    pub mtu: u16,
}

/// A route, as `ip` shows it.
#[derive(Debug, Deserialize)]
struct Route {
    dst: String,
    #[serde(default)]
    dev: Option<String>,
}

/// An interface's address, as `ip` shows it.
#[derive(Debug, Deserialize)]
struct Interface {
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    local: Ipv4Addr,
    prefixlen: u8,
}

impl Bridge {
    /// Makes the bridge `name`, or takes over the one that an earlier process left, with its network where none is `wanted`. Its second address is
    /// `metadata`. Where it `has_guests`, its network stays.
    ///
    /// # Errors
    /// [`BridgeError`]
    pub async fn make(
        name: &str,
        wanted: Option<Subnet>,
        metadata: Ipv4Addr,
        has_guests: bool,
    ) -> Result<Self, BridgeError> {
        let routes = routes("-4").await?;
        let before = network_of(name).await;
        let subnet = choose(&routes, name, wanted, before)?;
        let mtu = way_out(&routes).map_or(MTU_USUAL, mtu_of);
        if let Some(before) = before.filter(|before| *before != subnet) {
            if has_guests {
                return Err(BridgeError::InUse { before, wanted: subnet });
            }
            remove(name).await?;
        }
        let bridge = Self {
            name: name.to_owned(),
            subnet,
            ipv6: None,
            mtu,
        };
        let second = format!("address replace {metadata}/32 dev {name} scope link\n");
        bridge.raise(&second).await?;
        sysctl::set("net/ipv4/ip_forward", "1")?;
        Ok(bridge)
    }

    /// Makes the bridge of a network that guests share, or takes over the one that an earlier process left.
    ///
    /// # Errors
    /// [`BridgeError`]
    pub async fn make_shared(subnet: Subnet, ipv6: Option<Ipv6Subnet>, mtu: u16) -> Result<Self, BridgeError> {
        if ipv6.is_some() {
            sysctl::check_ipv6()?;
            if mtu < MTU_MIN_IPV6 {
                return Err(BridgeError::Narrow { mtu });
            }
        }
        let name = shared_name(subnet);
        if !exists(&name) {
            let wanted = [Some(subnet.into()), ipv6.map(Cidr::from)];
            check_free(&wanted.into_iter().flatten().collect::<Vec<_>>()).await?;
        }
        let bridge = Self {
            name,
            subnet,
            ipv6,
            mtu,
        };
        bridge.raise("").await?;
        Ok(bridge)
    }

    /// The IPv6 address of the guest at `address`, where guests have one.
    #[must_use]
    pub fn address_ipv6(&self, address: Ipv4Addr) -> Option<Ipv6Addr> {
        self.ipv6?.of_guest(self.subnet, address)
    }

    /// Makes it where it is not there, and gives it its address; `more` is for `ip`, too.
    async fn raise(&self, more: &str) -> Result<(), BridgeError> {
        let Self {
            name,
            subnet,
            ipv6,
            mtu,
        } = self;
        if !exists(name) {
            // Its hardware address would otherwise be that of one of its ports, and change as they come and go.
            let hardware = mac_text(mac(subnet.gateway()));
            let line = format!(
                "link add name {name} address {hardware} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n"
            );
            program::ip("make the bridge", &line).await?;
        }
        // Where guests have no IPv6 address, nobody must be talked to by one.
        sysctl::set_ipv6(name, ipv6.is_some())?;
        // So that a connection of this host's to 127.0.0.1 can lead to a guest. The packet filter sees to it that none comes back that way.
        sysctl::set(&format!("net/ipv4/conf/{name}/route_localnet"), "1")?;
        // Nobody else can have the address, so nobody is asked for it.
        let sixth = ipv6.map(|ipv6| {
            format!(
                "address replace {}/{} dev {name} nodad\n",
                ipv6.gateway(),
                ipv6.prefix()
            )
        });
        let sixth = sixth.unwrap_or_default();
        let (gateway, prefix) = (subnet.gateway(), subnet.prefix());
        let lines =
            format!("address replace {gateway}/{prefix} dev {name}\n{more}link set dev {name} mtu {mtu} up\n{sixth}");
        Ok(program::ip("set the bridge up", &lines).await?)
    }
}

/// Checks that the host has no route into any of `wanted`.
///
/// # Errors
/// [`BridgeError::Overlap`]
pub async fn check_free(wanted: &[Cidr]) -> Result<(), BridgeError> {
    for subnet in taken().await? {
        if let Some(&wanted) = wanted.iter().find(|wanted| wanted.overlaps(subnet)) {
            return Err(BridgeError::Overlap { subnet, wanted });
        }
    }
    Ok(())
}

/// The networks that the host has routes into, those behind our bridges included.
///
/// # Errors
/// [`ProgramError`]
pub async fn taken() -> Result<Vec<Cidr>, ProgramError> {
    let mut routes = routes("-4").await?;
    if sysctl::has_ipv6() {
        routes.extend(self::routes("-6").await?);
    }
    Ok(routes.iter().filter_map(|route| Cidr::of_route(&route.dst)).collect())
}

/// The name of the bridge of a network that guests share.
#[must_use]
pub fn shared_name(subnet: Subnet) -> String {
    format!("{SHARED_PREFIX}{:08x}", u32::from(subnet.gateway()))
}

/// The bridges of networks that guests share that are there.
#[must_use]
pub fn list_shared() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| is_shared_name(name)).collect()
}

fn is_shared_name(name: &str) -> bool {
    name.strip_prefix(SHARED_PREFIX)
        .is_some_and(|number| number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Removes the bridge `name`; there may be none.
///
/// # Errors
/// [`ProgramError`]
pub async fn remove(name: &str) -> Result<(), ProgramError> {
    if !exists(name) {
        return Ok(());
    }
    program::ip("remove the bridge", &format!("link delete dev {name}\n")).await
}

fn exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// The routes of a kind, `-4` or `-6`.
async fn routes(kind: &str) -> Result<Vec<Route>, ProgramError> {
    let shown = program::ip_show("show the routes", &[kind, "route", "show", "table", "all"]).await?;
    serde_json::from_slice(&shown).map_err(|source| ProgramError::Answer { program: "ip", source })
}

/// The network of the interface `name`, if there is one with a network.
async fn network_of(name: &str) -> Option<Subnet> {
    let shown = program::ip_show("show the bridge", &["-4", "address", "show", "dev", name]).await;
    let interfaces: Vec<Interface> = serde_json::from_slice(&shown.ok()?).ok()?;
    let mut addresses = interfaces.iter().flat_map(|interface| &interface.addr_info);
    addresses
        .find(|address| address.prefixlen < 32)
        .map(|address| Subnet::around(address.local, address.prefixlen))
}

/// The network to be had: the wanted one, the one that the bridge has, or a free one.
fn choose(routes: &[Route], name: &str, wanted: Option<Subnet>, before: Option<Subnet>) -> Result<Subnet, BridgeError> {
    let others = routes.iter().filter(|route| route.dev.as_deref() != Some(name));
    let taken: Vec<Subnet> = others.filter_map(|route| Cidr::of_route(&route.dst)?.v4()).collect();
    if let Some(wanted) = wanted {
        return match taken.iter().find(|other| other.overlaps(wanted)) {
            Some(&subnet) => Err(BridgeError::Overlap {
                subnet: subnet.into(),
                wanted: wanted.into(),
            }),
            None => Ok(wanted),
        };
    }
    match before {
        Some(before) if !taken.iter().any(|other| other.overlaps(before)) => Ok(before),
        _ => Subnet::free(&taken).ok_or(BridgeError::NoSubnet),
    }
}

/// The interface by which the host reaches everything else.
fn way_out(routes: &[Route]) -> Option<&str> {
    routes.iter().find(|route| route.dst == "default")?.dev.as_deref()
}

fn mtu_of(interface: &str) -> u16 {
    let path = Path::new("/sys/class/net").join(interface).join("mtu");
    let mtu = fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    mtu.unwrap_or(MTU_USUAL).clamp(MTU_MIN, MTU_USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(dst: &str, dev: &str) -> Route {
        Route {
            dst: dst.to_owned(),
            dev: Some(dev.to_owned()),
        }
    }

    #[test]
    fn the_bridge_keeps_its_network_unless_the_host_has_it() {
        let routes = [
            route("default", "eth0"),
            route("10.0.0.0/24", "eth0"),
            route("172.30.224.0/20", "mote0"),
        ];
        let own: Subnet = "172.30.224.0/20".parse().unwrap();
        let before = Some(own);
        assert_eq!(choose(&routes, "mote0", None, before).unwrap(), own);
        assert_ne!(choose(&routes, "mote1", None, before).unwrap(), own);
        let wanted = "10.0.0.0/16".parse().unwrap();
        let error = choose(&routes, "mote0", Some(wanted), before).unwrap_err();
        assert!(error.to_string().contains("a route into 10.0.0.0/24"), "{error}");
    }

    #[test]
    fn a_bridge_that_guests_share_is_called_by_its_address() {
        let name = shared_name("172.30.5.0/24".parse().unwrap());
        assert_eq!(name, "motebr-ac1e0501");
        assert!(is_shared_name(&name) && name.len() < 16);
        for name in ["mote0", "motebr-", "motebr-ac1e05zz", "mote-ac1e0501"] {
            assert!(!is_shared_name(name), "{name}");
        }
    }

    #[test]
    fn the_way_out_is_that_of_the_default_route() {
        assert_eq!(way_out(&[route("10.0.0.0/8", "a"), route("default", "b")]), Some("b"));
    }
}
