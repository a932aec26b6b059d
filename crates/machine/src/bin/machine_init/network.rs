//! The machine's network: loopback, and the one address that QEMU's user network expects.

use std::fs;
use std::net::Ipv4Addr;

use anyhow::{Context, Result};

use crate::kernel::{self, Interface};

const INTERFACE: &str = "eth0";
/// The addresses of QEMU's user network are the same for every machine: each has a network of its own.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const NETMASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);

/// Brings the interfaces up and names the resolver.
pub fn configure() -> Result<()> {
    Interface::open("lo")
        .and_then(|interface| interface.up())
        .context("cannot bring lo up")?;
    Interface::open(INTERFACE)
        .and_then(|interface| {
            interface.set_address(ADDRESS, NETMASK)?;
            interface.up()
        })
        .with_context(|| format!("cannot bring {INTERFACE} up"))?;
    kernel::add_default_route(GATEWAY).context("cannot add the default route")?;
    // On the host this may be a link to a file that is not in the machine.
    let _ = fs::remove_file("/etc/resolv.conf");
    fs::write("/etc/resolv.conf", format!("nameserver {RESOLVER}\n")).context("cannot write /etc/resolv.conf")
}
