//! The guest's network interface: found and brought up when the guest becomes ready, given its addresses when the host has told them.

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
const STEPS: [&str; 3] = [
    "give the network interface its hardware address",
    "give the network interface its address",
    "set the default route",
];

/// What the messages of [`batch_ipv6`] do, in order.
const STEPS_IPV6: [&str; 2] = [
    "give the network interface its IPv6 address",
    "set the default IPv6 route",
];

/// Whether interfaces are without IPv6: the ones there are, and those to come.
const DISABLE_IPV6: &str = "/proc/sys/net/ipv6/conf/all/disable_ipv6";

/// The same of the loopback interface.
const DISABLE_LOOPBACK_IPV6: &str = "/proc/sys/net/ipv6/conf/lo/disable_ipv6";

/// The interface of the standing network device.
#[derive(Debug)]
pub struct Interface {
    index: u32,
    routing: Routing,
}

impl Interface {
    /// Finds the interface and brings it up, which takes longer than to give it its addresses.
    ///
    /// Without IPv6, as containers have it elsewhere where the network has none: the interface would send what nobody answers, and programs would
    /// try addresses that lead nowhere. The loopback interface keeps its address.
    ///
    /// # Errors
    /// The kernel's, and where there is none.
    pub fn bring_up() -> Result<Self, StepError> {
        let (name, index) = find(Path::new(PLATFORM)).attempting(|| "find the network interface")?;
        set(DISABLE_IPV6, "1")?;
        set(DISABLE_LOOPBACK_IPV6, "0")?;
        // Nobody else on the wire can have the same address, and to ask for that would take longer than the whole start. It is told its addresses and its
        // gateway, and asks no router for them.
        for setting in ["accept_dad", "accept_ra"] {
            set(&format!("/proc/sys/net/ipv6/conf/{name}/{setting}"), "0")?;
        }
        let interface = Self {
            index,
            routing: Routing::open().attempting(|| "open a socket to the kernel's routing")?,
        };
        let mut batch = Batch::default();
        batch.message(libc::RTM_NEWLINK, 0, &link(index));
        interface.perform(&batch, &["bring the network interface up"])?;
        Ok(interface)
    }

    /// Gives the interface hardware address, packet size, addresses and default routes.
    ///
    /// # Errors
    /// The first step that the kernel refused.
    pub fn set_up(&self, network: &Network) -> Result<(), StepError> {
        self.perform(&batch(self.index, network), &STEPS)?;
        match network.ipv6 {
            Some((address, prefix, gateway)) => {
                // Behind the hardware address, of which the interface's own address is made.
                set(DISABLE_IPV6, "0")?;
                let batch = batch_ipv6(self.index, (address.into(), prefix, gateway.into()));
                self.perform(&batch, &STEPS_IPV6)
            }
            None => Ok(()),
        }
    }

    fn perform(&self, batch: &Batch, steps: &[&'static str]) -> Result<(), StepError> {
        match self.routing.perform(batch) {
            Ok(()) => Ok(()),
            Err((step, error)) => Err(error).attempting(|| steps.get(step).copied().unwrap_or("set the network up")),
        }
    }
}

fn set(setting: &str, value: &str) -> Result<(), StepError> {
    fs::write(setting, value).attempting(|| format!("write {setting}"))
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

/// `struct ifinfomsg` for the interface `index`: it is up.
fn link(index: u32) -> Vec<u8> {
    let up = u32::try_from(libc::IFF_UP).unwrap_or(1).to_ne_bytes();
    // Family and type, index, flags and which of them change.
    [[0; 4], index.to_ne_bytes(), up, up].concat()
}

/// All that is asked of the kernel for the interface `index`, in the order of [`STEPS`].
fn batch(index: u32, network: &Network) -> Batch {
    let mut batch = Batch::default();
    batch
        .message(libc::RTM_NEWLINK, 0, &link(index))
        .attribute(libc::IFLA_ADDRESS, &network.mac)
        .attribute(libc::IFLA_MTU, &u32::from(network.mtu).to_ne_bytes());
    let address = (network.address.into(), network.prefix, network.gateway.into());
    add_addresses(&mut batch, index, address);
    batch
}

/// The same for IPv6, in the order of [`STEPS_IPV6`].
fn batch_ipv6(index: u32, address: (IpAddr, u8, IpAddr)) -> Batch {
    let mut batch = Batch::default();
    add_addresses(&mut batch, index, address);
    batch
}

/// `AF_INET` and `AF_INET6`, as messages have them.
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
        let network = Network {
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
        assert_eq!(batch(3, &network).count(), STEPS.len());
        let address = [9, 1].map(|last| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last]));
        assert_eq!(batch_ipv6(3, (address[0], 64, address[1])).count(), STEPS_IPV6.len());
    }
}
