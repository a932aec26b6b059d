//! One network: its bridge, the interfaces that wait behind it, and who answers its guests' questions for names.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use crate::bridge::Bridge;
use crate::dns::{Forwarder, Knowledge, Names};
use crate::error::NetworkError;
use crate::program::{self, ProgramError};
use crate::rules::{self, Guest, Reach};
use crate::spares::Spares;
use crate::taps;

/// One network. All methods may be called at once.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) bridge: Bridge,
    reach: Reach,
    // Whoever attaches takes from it, and the task that fills it puts into it: for the time of a push or a pop.
    spares: Mutex<Spares>,
    /// Who is called what in here, where guests know each other.
    names: Option<Arc<Names>>,
    // Answers guests' questions for names, where it could get its address: until whoever ends the network takes it.
    forwarder: Mutex<Option<Forwarder>>,
    /// Held while programs run: they change what all networks share.
    programs: Arc<AsyncMutex<()>>,
}

/// What a network is to be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'a> {
    /// Its name, where it has one: then its guests know each other.
    pub(crate) name: Option<&'a str>,
    /// Who its guests talk to.
    pub(crate) reach: Reach,
    /// How many interfaces wait for a guest.
    pub(crate) spares: usize,
    /// Where the host's name servers are configured.
    pub(crate) resolvers: &'a Path,
}

impl Segment {
    /// The network behind `bridge`, of whose addresses `taken` are guests' already, each with its name.
    pub(crate) async fn start(
        bridge: Bridge,
        manner: Manner<'_>,
        taken: &[(Ipv4Addr, &str)],
        programs: Arc<AsyncMutex<()>>,
    ) -> Result<Self, NetworkError> {
        let subnet = bridge.subnet;
        let names = manner.name.map(|name| Arc::new(Names::new(name)));
        let mut indices = Vec::with_capacity(taken.len());
        for &(address, name) in taken {
            indices.push(subnet.guest(address).ok_or(NetworkError::Foreign { address, subnet })?);
            if let Some(names) = &names {
                names.put(address, bridge.address_ipv6(address), name);
            }
        }
        let known = Knowledge {
            names: names.clone(),
            is_internal: manner.reach == Reach::EachOther,
        };
        let forwarder = start_forwarder(subnet.gateway(), manner.resolvers, known).await;
        Ok(Self {
            reach: manner.reach,
            spares: Mutex::new(Spares::new(manner.spares, subnet.guests(), indices)),
            names,
            forwarder: Mutex::new(forwarder),
            programs,
            bridge,
        })
    }

    /// As the packet filter is told of it.
    pub(crate) fn place(&self) -> rules::Segment<'_> {
        rules::Segment {
            bridge: &self.bridge.name,
            subnet: self.bridge.subnet,
            ipv6: self.bridge.ipv6,
            reach: self.reach,
        }
    }

    /// Whether somebody answers questions for names.
    pub(crate) fn has_forwarder(&self) -> bool {
        lock(&self.forwarder).is_some()
    }

    /// An address whose interface is ready, for a guest of this name.
    pub(crate) async fn take(self: &Arc<Self>, name: &str) -> Result<Ipv4Addr, NetworkError> {
        loop {
            let (taken, is_low) = lock(&self.spares).take();
            if let Some(guest) = taken {
                if is_low {
                    let segment = Arc::clone(self);
                    tokio::spawn(async move {
                        if let Err(error) = segment.fill().await {
                            tracing::warn!("cannot prepare network interfaces: {error}");
                        }
                    });
                }
                let address = self.bridge.subnet.address(guest);
                if let Some(names) = &self.names {
                    names.put(address, self.bridge.address_ipv6(address), name);
                }
                return Ok(address);
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
    pub(crate) async fn fill(&self) -> Result<(), ProgramError> {
        let _programs = self.programs.lock().await;
        let guests = lock(&self.spares).missing();
        if guests.is_empty() {
            return Ok(());
        }
        let addresses = self.addresses(&guests);
        let made = async {
            program::nft("let guests talk", &rules::addition(&self.without_ports(&addresses))).await?;
            taps::make(&self.bridge, self.reach.has_peers(), &addresses).await
        };
        let made = made.await;
        let mut spares = lock(&self.spares);
        match made {
            Ok(()) => spares.put(&guests),
            Err(_) => spares.forget(&guests),
        }
        made
    }

    /// Takes back an address whose guest is gone.
    pub(crate) fn give_back(&self, address: Ipv4Addr) {
        if let Some(names) = &self.names {
            names.remove(address);
        }
        if let Some(guest) = self.bridge.subnet.guest(address) {
            lock(&self.spares).put(&[guest]);
        }
    }

    /// Removes interfaces where too many wait.
    pub(crate) async fn shrink(&self) -> Result<(), ProgramError> {
        let surplus = lock(&self.spares).surplus();
        if surplus.is_empty() {
            return Ok(());
        }
        let _programs = self.programs.lock().await;
        self.remove(&surplus).await
    }

    /// Removes all interfaces that wait, for good.
    pub(crate) async fn empty(&self) -> Result<(), ProgramError> {
        // Those that are being made are waited for.
        let _programs = self.programs.lock().await;
        let spares = lock(&self.spares).take_all();
        self.remove(&spares).await
    }

    /// Stops to answer questions for names.
    pub(crate) async fn stop(&self) {
        let forwarder = lock(&self.forwarder).take();
        if let Some(forwarder) = forwarder {
            forwarder.stop().await;
        }
    }

    /// Removes the interfaces of these guests, who are in nobody's hands, while nobody else runs programs.
    async fn remove(&self, guests: &[u32]) -> Result<(), ProgramError> {
        if guests.is_empty() {
            return Ok(());
        }
        let addresses = self.addresses(guests);
        taps::remove(&self.bridge.name, &addresses, |address| {
            self.bridge.address_ipv6(address)
        })
        .await?;
        program::nft("forget guests", &rules::deletion(&self.without_ports(&addresses))).await?;
        lock(&self.spares).forget(guests);
        Ok(())
    }

    fn addresses(&self, guests: &[u32]) -> Vec<Ipv4Addr> {
        guests.iter().map(|&guest| self.bridge.subnet.address(guest)).collect()
    }

    fn without_ports(&self, addresses: &[Ipv4Addr]) -> Vec<Guest<'static>> {
        let guest = |&address| Guest {
            address,
            address_ipv6: self.bridge.address_ipv6(address),
            has_peers: self.reach.has_peers(),
            ports: &[],
        };
        addresses.iter().map(guest).collect()
    }
}

async fn start_forwarder(address: Ipv4Addr, resolvers: &Path, known: Knowledge) -> Option<Forwarder> {
    match Forwarder::start(address, resolvers.to_owned(), known).await {
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under the lock is whole: a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
