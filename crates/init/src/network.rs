//! The guest's network interface: found when the guest becomes ready, set up when the host has told how.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use protocol::guest::Network;
use protocol::vmm::standing;

use crate::failure::{Attempt, StepError};
use crate::netlink::{Batch, Routing};
use crate::slots::PLATFORM;

/// What the messages of [`batch`] do, in order.
const STEPS: [&str; 5] = [
    "bring the network interface up",
    "give the network interface its address",
    "set the default route",
    "give the network interface its IPv6 address",
    "set the default IPv6 route",
];

/// Attributes that the C library does not name (linux/if_link.h).
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;

/// The interface gets a link-local address made of its hardware address.
const IN6_ADDR_GEN_MODE_EUI64: u8 = 0;

/// It gets none.
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;

/// The interface of the standing network device.
#[derive(Debug)]
pub struct Interface {
    index: u32,
    routing: Routing,
}

impl Interface {
    /// Finds the interface, which stays down.
    ///
    /// # Errors
    /// The kernel's, and where there is none.
    pub fn find() -> Result<Self, StepError> {
        let (name, index) = find(Path::new(PLATFORM)).attempting(|| "find the network interface")?;
        // Nobody else on the wire can have the same address, and to ask for that would take longer than the whole start.
        let setting = format!("/proc/sys/net/ipv6/conf/{name}/accept_dad");
        fs::write(&setting, "0").attempting(|| format!("write {setting}"))?;
        Ok(Self {
            index,
            routing: Routing::open().attempting(|| "open a socket to the kernel's routing")?,
        })
    }

    /// Sets the interface up: hardware address, packet size, addresses and default routes.
    ///
    /// # Errors
    /// The first step that the kernel refused.
    pub fn set_up(&self, network: &Network) -> Result<(), StepError> {
        match self.routing.perform(&batch(self.index, network)) {
            Ok(()) => Ok(()),
            Err((step, error)) => Err(error).attempting(|| STEPS.get(step).copied().unwrap_or("set the network up")),
        }
    }
}

/// The name and the index of the interface of the standing device; `platform` is [`PLATFORM`] but in tests.
fn find(platform: &Path) -> io::Result<(String, u32)> {
    let window = platform.join(format!("devices/virtio-mmio.{}", standing::NETWORK));
    let device = child(&window, |name| {
        name.strip_prefix("virtio").is_some_and(|rest| !rest.contains('-'))
    })?;
    let interface = child(&device.join("net"), |_| true)?;
    let index = fs::read_to_string(interface.join("ifindex"))?;
    let index = index.trim().parse().map_err(io::Error::other)?;
    let name = interface.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((name, index))
}

/// The first directory in `directory` with a name that fits.
fn child(directory: &Path, fits: impl Fn(&str) -> bool) -> io::Result<PathBuf> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && fits(&entry.file_name().to_string_lossy()) {
            return Ok(entry.path());
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// All that is asked of the kernel for the interface `index`, in the order of [`STEPS`].
fn batch(index: u32, network: &Network) -> Batch {
    let mut batch = Batch::default();
    let up = u32::try_from(libc::IFF_UP).unwrap_or(1).to_ne_bytes();
    // struct ifinfomsg: family and type, index, flags and which of them change.
    let link = [[0; 4], index.to_ne_bytes(), up, up].concat();
    let generated = if network.ipv6.is_some() {
        IN6_ADDR_GEN_MODE_EUI64
    } else {
        IN6_ADDR_GEN_MODE_NONE
    };
    batch
        .message(libc::RTM_NEWLINK, 0, &link)
        .attribute(libc::IFLA_ADDRESS, &network.mac)
        .attribute(libc::IFLA_MTU, &u32::from(network.mtu).to_ne_bytes())
        .nested(&[libc::IFLA_AF_SPEC, AF_INET6], IFLA_INET6_ADDR_GEN_MODE, &[generated]);
    add_addresses(
        &mut batch,
        index,
        (network.address.into(), network.prefix, network.gateway.into()),
    );
    if let Some((address, prefix, gateway)) = network.ipv6 {
        add_addresses(&mut batch, index, (address.into(), prefix, gateway.into()));
    }
    batch
}

/// `AF_INET` and `AF_INET6`, as attributes and messages have them.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Makes a new one, and none that is there already.
const NEW: u16 = 0x400 | 0x200;

/// Appends an address and a default route.
fn add_addresses(batch: &mut Batch, index: u32, (address, prefix, gateway): (IpAddr, u8, IpAddr)) {
    let family = if address.is_ipv4() { AF_INET } else { AF_INET6 }.to_ne_bytes()[0];
    // struct ifaddrmsg: family, prefix, flags, scope, index. `IFA_F_NODAD` has a meaning for IPv6 only.
    let flags = if address.is_ipv4() { 0 } else { 2 };
    let fixed = [[family, prefix, flags, 0], index.to_ne_bytes()].concat();
    batch
        .message(libc::RTM_NEWADDR, NEW, &fixed)
        .address(libc::IFA_LOCAL, address)
        .address(libc::IFA_ADDRESS, address);
    // struct rtmsg: family, both prefixes, type of service; table, origin, scope, kind; flags.
    let kinds = [
        libc::RT_TABLE_MAIN,
        libc::RTPROT_BOOT,
        libc::RT_SCOPE_UNIVERSE,
        libc::RTN_UNICAST,
    ];
    let fixed = [[family, 0, 0, 0], kinds, [0; 4]].concat();
    batch
        .message(libc::RTM_NEWROUTE, NEW, &fixed)
        .address(libc::RTA_GATEWAY, gateway)
        .attribute(libc::RTA_OIF, &index.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_is_the_one_in_the_standing_slot() {
        let folder = tempfile::tempdir().unwrap();
        let window = folder.path().join("devices/virtio-mmio.6");
        fs::create_dir_all(window.join("virtio-mmio.6")).unwrap();
        assert!(find(folder.path()).is_err());
        fs::create_dir_all(window.join("virtio5/net/eth0")).unwrap();
        fs::write(window.join("virtio5/net/eth0/ifindex"), "3\n").unwrap();
        assert_eq!(find(folder.path()).unwrap(), ("eth0".to_owned(), 3));
    }

    #[test]
    fn every_message_has_a_name() {
        let mut network = Network {
            mac: [2, 0, 0, 0, 0, 1],
            address: [172, 31, 224, 9].into(),
            prefix: 20,
            gateway: [172, 31, 224, 1].into(),
            ipv6: None,
            mtu: 1500,
            name_servers: Vec::new(),
            search_domains: Vec::new(),
            resolver_options: Vec::new(),
        };
        assert_eq!(batch(3, &network).count(), 3);
        network.ipv6 = Some(("fd00::9".parse().unwrap(), 64, "fd00::1".parse().unwrap()));
        assert_eq!(batch(3, &network).count(), STEPS.len());
    }
}
