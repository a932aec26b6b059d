//! The calls into the kernel that have no safe wrapper.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Gives the program a session of its own when it starts; its standard input becomes the session's terminal if it is one.
pub fn start_in_own_session(command: &mut Command, terminal: bool) {
    let enter = move || {
        rustix::process::setsid()?;
        if terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes two system calls; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(enter) };
}

/// Signals every process but this one, which must be PID 1.
pub fn signal_all_others(signal: rustix::process::Signal) {
    // SAFETY: the call takes two numbers and touches no memory; -1 means every process but PID 1 and the caller, see kill(2). It fails
    // when there is none, and then there is nothing to do.
    unsafe { libc::kill(-1, signal.as_raw()) };
}

/// A network interface, addressed by name.
pub struct Interface {
    /// Any socket: the kernel takes requests about interfaces on all of them.
    socket: UdpSocket,
    name: [libc::c_char; libc::IFNAMSIZ],
}

impl Interface {
    /// Prepares requests about the interface `name`.
    pub fn open(name: &str) -> io::Result<Self> {
        let mut bytes = [0; libc::IFNAMSIZ];
        // One byte stays zero: the kernel wants an end.
        if name.len() >= libc::IFNAMSIZ {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        Ok(Self {
            socket: any_socket()?,
            name: bytes,
        })
    }

    /// Gives the interface its address and network.
    pub fn set_address(&self, address: Ipv4Addr, netmask: Ipv4Addr) -> io::Result<()> {
        self.request(
            libc::SIOCSIFADDR,
            libc::__c_anonymous_ifr_ifru {
                ifru_addr: socket_address(address),
            },
        )?;
        self.request(
            libc::SIOCSIFNETMASK,
            libc::__c_anonymous_ifr_ifru {
                ifru_netmask: socket_address(netmask),
            },
        )
    }

    /// Switches the interface on.
    pub fn up(&self) -> io::Result<()> {
        // IFF_UP and IFF_RUNNING are 0x1 and 0x40; the kernel's field has 16 bits.
        let flags = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(io::Error::other)?;
        self.request(libc::SIOCSIFFLAGS, libc::__c_anonymous_ifr_ifru { ifru_flags: flags })
    }

    fn request(&self, number: libc::c_ulong, argument: libc::__c_anonymous_ifr_ifru) -> io::Result<()> {
        let mut request = libc::ifreq {
            ifr_name: self.name,
            ifr_ifru: argument,
        };
        // SAFETY: these requests read an `ifreq`, which `request` is, and the kernel writes nothing beyond it.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), number, &raw mut request) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// Sends what is for nobody near to `gateway`.
pub fn add_default_route(gateway: Ipv4Addr) -> io::Result<()> {
    // SAFETY: `rtentry` is plain data of the kernel's, and all zeroes are a valid value of it (null pointers included).
    let mut route: libc::rtentry = unsafe { mem::zeroed() };
    route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = socket_address(gateway);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    // SAFETY: SIOCADDRT reads an `rtentry`, which `route` is; its device name is null, which means "any".
    let result = unsafe { libc::ioctl(any_socket()?.as_raw_fd(), libc::SIOCADDRT, &raw const route) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn any_socket() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
}

/// An IPv4 `sockaddr`: after the family two bytes of port and four of address, see ip(7).
fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data[2..6].iter_mut().zip(address.octets()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // AF_INET is 2.
    libc::sockaddr {
        sa_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or(2),
        sa_data: data,
    }
}
