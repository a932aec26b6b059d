//! The owner of it all: makes the bridge and the rules, keeps interfaces ready, gives them out and takes them back.
//!
//! A guest's interface, its addresses and the rules about it are made in advance, a few at a time; to attach a guest without published ports
//! is to take one of them. What is given back is given out again, after everything else that is there.

mod spares;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use crate::bridge::{self, Bridge, BridgeError};
use crate::claim::Claim;
use crate::dns::{self, Forwarder, Resolvers};
use crate::network::spares::Spares;
use crate::ports::{self, Hold, PortError, PortRequest, Published};
use crate::program::{self, ProgramError};
use crate::rules::{self, Guest, Place};
use crate::subnet::{Subnet, mac};
use crate::taps;

/// How the network is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the bridge.
    pub bridge: String,
    /// The network behind it; a free one where absent.
    pub subnet: Option<Subnet>,
    /// The bridge's second address, at which guests ask about themselves.
    pub metadata: Ipv4Addr,
    /// Where the host's name servers are configured: `/etc/resolv.conf`.
    pub resolvers: PathBuf,
    /// How many interfaces wait for a guest.
    pub spares: usize,
}

/// What a guest has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The TAP interface.
    pub tap: String,
    /// The guest's hardware address.
    pub mac: [u8; 6],
    /// The guest's address.
    pub address: Ipv4Addr,
    /// What is published.
    pub ports: Vec<Published>,
}

/// Why there is no network, or not for this guest.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The bridge.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// A program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A port.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Everything is given out.
    #[error("all {count} addresses of {subnet} are in use; stop tasks or configure a larger network")]
    Full {
        /// How many there are.
        count: u32,
        /// The network.
        subnet: Subnet,
    },
    /// A guest that is to be kept has an address of another network.
    #[error("the address {address} of a task that runs is not in the network {subnet}")]
    Foreign {
        /// The address.
        address: Ipv4Addr,
        /// The network.
        subnet: Subnet,
    },
}

/// The network. All methods may be called at once.
#[derive(Debug)]
pub struct Network {
    inner: Arc<Inner>,
    resolvers: PathBuf,
    metadata: Ipv4Addr,
    /// Answers guests' questions for names, where it could get its address.
    forwarder: Option<Forwarder>,
}

#[derive(Debug)]
struct Inner {
    bridge: Bridge,
    // Whoever attaches takes from it, and the task that fills it puts into it: for the time of a push or a pop.
    spares: Mutex<Spares>,
    // What keeps others from the ports of a guest, by its address: shared by all who attach and detach.
    holds: Mutex<BTreeMap<Ipv4Addr, Vec<Hold>>>,
    /// Held while programs run: they change what all share.
    programs: AsyncMutex<()>,
}

impl Network {
    /// Makes the network, with what `kept` have, who were given it by an earlier process. Everything else that one left is removed.
    ///
    /// # Errors
    /// [`NetworkError`]
    pub async fn open(settings: &Settings, _claim: &Claim, kept: &[Lease]) -> Result<Self, NetworkError> {
        let bridge = Bridge::make(&settings.bridge, settings.subnet, settings.metadata, !kept.is_empty()).await?;
        let subnet = bridge.subnet;
        let mut taken = Vec::with_capacity(kept.len());
        let mut holds = BTreeMap::new();
        for lease in kept {
            let address = lease.address;
            taken.push(subnet.guest(address).ok_or(NetworkError::Foreign { address, subnet })?);
            holds.insert(address, hold_again(lease));
        }
        let addresses: Vec<Ipv4Addr> = kept.iter().map(|lease| lease.address).collect();
        let present = taps::list().await?;
        let left: Vec<Ipv4Addr> = present.into_iter().filter(|tap| !addresses.contains(tap)).collect();
        taps::remove(&bridge.name, &left).await?;
        let guests: Vec<Guest<'_>> = kept.iter().map(Lease::guest).collect();
        let place = Place {
            bridge: &bridge.name,
            subnet,
            metadata: settings.metadata,
        };
        program::nft("set the rules up", &rules::tables(&place, &guests)).await?;
        let forwarder = start_forwarder(&bridge, &settings.resolvers).await;
        let network = Self {
            inner: Arc::new(Inner {
                spares: Mutex::new(Spares::new(settings.spares, subnet.guests(), taken)),
                holds: Mutex::new(holds),
                programs: AsyncMutex::new(()),
                bridge,
            }),
            resolvers: settings.resolvers.clone(),
            metadata: settings.metadata,
            forwarder,
        };
        network.inner.fill().await?;
        Ok(network)
    }

    /// Gives a guest an interface, an address and these ports.
    ///
    /// Where the future is dropped, what it took is unknown to nobody but this process: [`Self::open`] removes it in the next one.
    ///
    /// # Errors
    /// [`NetworkError`]; nothing is taken then.
    pub async fn attach(&self, ports: &[PortRequest]) -> Result<Lease, NetworkError> {
        let (ports, holds) = ports::reserve(ports)?;
        let address = self.inner.take().await?;
        let lease = Lease {
            tap: taps::tap_name(address),
            mac: mac(address),
            address,
            ports,
        };
        if !lease.ports.is_empty() {
            let script = rules::publication(address, &lease.ports);
            let _programs = self.inner.programs.lock().await;
            if let Err(error) = program::nft("publish a port", &script).await {
                self.inner.give_back(address);
                return Err(error.into());
            }
        }
        lock(&self.inner.holds).insert(address, holds);
        Ok(lease)
    }

    /// Takes back what a guest has, which does not run any more. What was taken back already, or never given, is no error.
    ///
    /// # Errors
    /// [`ProgramError`]: the ports are still published.
    pub async fn detach(&self, lease: &Lease) -> Result<(), ProgramError> {
        let Some(holds) = lock(&self.inner.holds).remove(&lease.address) else {
            return Ok(());
        };
        if !lease.ports.is_empty() {
            let script = rules::withdrawal(lease.address, &lease.ports);
            let _programs = self.inner.programs.lock().await;
            if let Err(error) = program::nft("withdraw a published port", &script).await {
                lock(&self.inner.holds).insert(lease.address, holds);
                return Err(error);
            }
        }
        drop(holds);
        self.inner.give_back(lease.address);
        let surplus = lock(&self.inner.spares).surplus();
        if surplus.is_empty() {
            Ok(())
        } else {
            self.inner.remove(&surplus).await
        }
    }

    /// Ends it: interfaces that nobody has are removed, and where nobody has any, the bridge and the rules too.
    ///
    /// # Errors
    /// [`ProgramError`]: something is left.
    pub async fn close(self) -> Result<(), ProgramError> {
        let spares = lock(&self.inner.spares).take_all();
        self.inner.remove(&spares).await?;
        if lock(&self.inner.holds).is_empty() {
            drop(self.forwarder);
            remove(&self.inner.bridge.name).await?;
        }
        Ok(())
    }

    /// The network behind the bridge.
    #[must_use]
    pub fn subnet(&self) -> Subnet {
        self.inner.bridge.subnet
    }

    /// The largest packet, in bytes.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.inner.bridge.mtu
    }

    /// The address at which guests ask about themselves.
    #[must_use]
    pub fn metadata(&self) -> Ipv4Addr {
        self.metadata
    }

    /// What guests' resolvers are told: the forwarder, or, where it could not start, those of the host's name servers that guests can reach.
    pub async fn resolvers(&self) -> Resolvers {
        let text = tokio::fs::read_to_string(&self.resolvers).await.unwrap_or_default();
        let mut resolvers = dns::parse(&text);
        resolvers.servers = match self.forwarder {
            Some(_) => vec![IpAddr::V4(self.subnet().gateway())],
            None => resolvers.reachable_servers(),
        };
        resolvers
    }
}

/// Removes everything that a process left which is not there any more: interfaces, bridge, rules.
///
/// # Errors
/// [`ProgramError`]: something is left.
pub async fn remove(bridge: &str) -> Result<(), ProgramError> {
    taps::remove(bridge, &taps::list().await?).await?;
    program::nft("remove the rules", &rules::removal()).await?;
    bridge::remove(bridge).await
}

impl Lease {
    fn guest(&self) -> Guest<'_> {
        Guest {
            address: self.address,
            ports: &self.ports,
        }
    }
}

impl Inner {
    /// An address whose interface is ready.
    async fn take(self: &Arc<Self>) -> Result<Ipv4Addr, NetworkError> {
        loop {
            let (taken, is_low) = lock(&self.spares).take();
            if let Some(guest) = taken {
                if is_low {
                    let inner = Arc::clone(self);
                    tokio::spawn(async move {
                        if let Err(error) = inner.fill().await {
                            tracing::warn!("cannot prepare network interfaces: {error}");
                        }
                    });
                }
                return Ok(self.bridge.subnet.address(guest));
            }
            self.fill().await?;
            if lock(&self.spares).is_empty() {
                let subnet = self.bridge.subnet;
                let count = subnet.guests();
                return Err(NetworkError::Full { count, subnet });
            }
        }
    }

    /// Makes as many interfaces as are missing.
    async fn fill(&self) -> Result<(), ProgramError> {
        let _programs = self.programs.lock().await;
        let guests = lock(&self.spares).missing();
        if guests.is_empty() {
            return Ok(());
        }
        let subnet = self.bridge.subnet;
        let addresses: Vec<Ipv4Addr> = guests.iter().map(|&guest| subnet.address(guest)).collect();
        let made = async {
            program::nft("let guests talk", &rules::addition(&without_ports(&addresses))).await?;
            taps::make(&self.bridge, &addresses).await
        };
        let made = made.await;
        let mut spares = lock(&self.spares);
        match made {
            Ok(()) => spares.put(&guests),
            Err(_) => spares.forget(&guests),
        }
        made
    }

    fn give_back(&self, address: Ipv4Addr) {
        if let Some(guest) = self.bridge.subnet.guest(address) {
            lock(&self.spares).put(&[guest]);
        }
    }

    /// Removes the interfaces of these guests, who are in nobody's hands.
    async fn remove(&self, guests: &[u32]) -> Result<(), ProgramError> {
        if guests.is_empty() {
            return Ok(());
        }
        let subnet = self.bridge.subnet;
        let addresses: Vec<Ipv4Addr> = guests.iter().map(|&guest| subnet.address(guest)).collect();
        let _programs = self.programs.lock().await;
        taps::remove(&self.bridge.name, &addresses).await?;
        program::nft("forget guests", &rules::deletion(&without_ports(&addresses))).await?;
        lock(&self.spares).forget(guests);
        Ok(())
    }
}

fn without_ports(addresses: &[Ipv4Addr]) -> Vec<Guest<'static>> {
    let guests = addresses.iter().map(|&address| Guest { address, ports: &[] });
    guests.collect()
}

/// Binds the ports of a guest that runs already. Where somebody else has one by now, the guest keeps it for connections that the packet filter sees first.
fn hold_again(lease: &Lease) -> Vec<Hold> {
    let mut held = Vec::new();
    for &port in &lease.ports {
        match ports::reserve(&[port.into()]) {
            Ok((_, holds)) => held.extend(holds),
            Err(error) => tracing::warn!("a published port of {}: {error}", lease.address),
        }
    }
    held
}

async fn start_forwarder(bridge: &Bridge, resolvers: &std::path::Path) -> Option<Forwarder> {
    let address = bridge.subnet.gateway();
    match Forwarder::start(address, resolvers.to_owned()).await {
        Ok(forwarder) => Some(forwarder),
        Err(error) => {
            warn_without_forwarder(address, &error);
            None
        }
    }
}

fn warn_without_forwarder(address: Ipv4Addr, error: &io::Error) {
    tracing::warn!(
        "tasks ask the host's name servers themselves, since there is no place for a forwarder at {address}: {error}"
    );
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Each change under the lock is whole: a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
