//! The owner of it all: makes the bridges and the rules, keeps interfaces ready, gives them out and takes them back.
//!
//! A guest's interface, its addresses and the rules about it are made in advance, a few at a time; to attach a guest without published ports
//! is to take one of them. What is given back is given out again, after everything else that is there. There is the usual network, in which guests
//! are by themselves, and there are those that guests share.

mod shared;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use crate::bridge::{self, Bridge};
use crate::claim::Claim;
use crate::dns::{self, Resolvers};
use crate::error::NetworkError;
use crate::ipv6::Ipv6Subnet;
use crate::ports::{self, Hold, PortRequest, Published};
use crate::program::{self, ProgramError};
use crate::rules::{self, Guest, Place, Reach};
use crate::segment::{Manner, Segment};
use crate::subnet::{Subnet, mac};
use crate::taps;

pub use shared::SharedNetwork;
use shared::Slot;

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
    /// The network that it shares with others; the usual one where absent.
    pub member: Option<Member>,
    /// The TAP interface.
    pub tap: String,
    /// The guest's hardware address.
    pub mac: [u8; 6],
    /// The guest's address.
    pub address: Ipv4Addr,
    /// The guest's IPv6 address, where its network has any.
    pub address_ipv6: Option<Ipv6Addr>,
    /// What is published.
    pub ports: Vec<Published>,
}

/// A guest of a network that others are in, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The network's name.
    pub network: String,
    /// The guest's, by which the others find it.
    pub name: String,
}

/// What a guest finds around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// Its network.
    pub subnet: Subnet,
    /// Its network's IPv6 addresses, where it has any.
    pub ipv6: Option<Ipv6Subnet>,
    /// The largest packet, in bytes.
    pub mtu: u16,
    /// What its resolver is told.
    pub resolvers: Resolvers,
}

/// The network. All methods may be called at once.
#[derive(Debug)]
pub struct Network {
    usual: Arc<Segment>,
    // By name: whoever attaches looks in, and networks come and go.
    shared: Mutex<BTreeMap<String, Slot>>,
    // What keeps others from the ports of a guest, by its address: shared by all who attach and detach.
    holds: Mutex<BTreeMap<Ipv4Addr, Vec<Hold>>>,
    /// Held while programs run: they change what all share.
    programs: Arc<AsyncMutex<()>>,
    resolvers: PathBuf,
    metadata: Ipv4Addr,
}

impl Network {
    /// Makes the network and those that guests share, with what `kept` have, who were given it by an earlier process. Everything else that one left
    /// is removed. A shared network that cannot be made is told of, and its guests are refused.
    ///
    /// # Errors
    /// [`NetworkError`]
    pub async fn open(
        settings: &Settings,
        _claim: &Claim,
        shared: &[SharedNetwork],
        kept: &[Lease],
    ) -> Result<Self, NetworkError> {
        let (members, usual): (Vec<&Lease>, Vec<&Lease>) = kept.iter().partition(|lease| lease.member.is_some());
        let bridge = Bridge::make(&settings.bridge, settings.subnet, settings.metadata, !usual.is_empty()).await?;
        let programs = Arc::new(AsyncMutex::new(()));
        remove_what_nobody_has(&bridge.name, shared, kept).await?;
        let mtu = bridge.mtu;
        let manner = Manner {
            name: None,
            reach: Reach::World,
            spares: settings.spares,
            resolvers: &settings.resolvers,
        };
        let taken: Vec<_> = usual.iter().map(|lease| (lease.address, "")).collect();
        let usual = Segment::start(bridge, manner, &taken, Arc::clone(&programs)).await?;
        let network = Self {
            usual: Arc::new(usual),
            shared: Mutex::default(),
            holds: Mutex::new(kept.iter().map(|lease| (lease.address, hold_again(lease))).collect()),
            programs,
            resolvers: settings.resolvers.clone(),
            metadata: settings.metadata,
        };
        for definition in shared {
            network.open_shared(definition, mtu, &members).await;
        }
        network.set_rules_up(kept).await?;
        network.usual.fill().await?;
        for segment in &network.segments()[1..] {
            if let Err(error) = segment.fill().await {
                tracing::warn!("cannot prepare network interfaces: {error}");
            }
        }
        Ok(network)
    }

    async fn set_rules_up(&self, kept: &[Lease]) -> Result<(), ProgramError> {
        let guests: Vec<Guest<'_>> = kept.iter().map(Lease::guest).collect();
        let place = Place {
            usual: self.usual.place(),
            metadata: self.metadata,
        };
        let segments = self.segments();
        let shared: Vec<_> = segments[1..].iter().map(|segment| segment.place()).collect();
        program::nft("set the rules up", &rules::tables(&place, &shared, &guests)).await
    }

    /// Gives a guest an interface, an address and these ports.
    ///
    /// Where the future is dropped, what it took is unknown to nobody but this process: [`Self::open`] removes it in the next one.
    ///
    /// # Errors
    /// [`NetworkError`]; nothing is taken then.
    pub async fn attach(&self, member: Option<Member>, ports: &[PortRequest]) -> Result<Lease, NetworkError> {
        let segment = self.segment_of(member.as_ref())?;
        let (ports, holds) = ports::reserve(ports, segment.bridge.ipv6.is_some())?;
        let name = member.as_ref().map_or("", |member| &member.name);
        let address = segment.take(name).await?;
        let lease = Lease {
            member,
            tap: taps::tap_name(address),
            mac: mac(address),
            address,
            address_ipv6: segment.bridge.address_ipv6(address),
            ports,
        };
        if !lease.ports.is_empty() {
            let script = rules::publication(&lease.guest());
            let _programs = self.programs.lock().await;
            if let Err(error) = program::nft("publish a port", &script).await {
                segment.give_back(address);
                return Err(error.into());
            }
        }
        lock(&self.holds).insert(address, holds);
        Ok(lease)
    }

    /// Takes back what a guest has, which does not run any more. What was taken back already, or never given, is no error.
    ///
    /// # Errors
    /// [`ProgramError`]: the ports are still published.
    pub async fn detach(&self, lease: &Lease) -> Result<(), ProgramError> {
        let Some(holds) = lock(&self.holds).remove(&lease.address) else {
            return Ok(());
        };
        if !lease.ports.is_empty() {
            let script = rules::withdrawal(&lease.guest());
            let _programs = self.programs.lock().await;
            if let Err(error) = program::nft("withdraw a published port", &script).await {
                lock(&self.holds).insert(lease.address, holds);
                return Err(error);
            }
        }
        drop(holds);
        match self.segment_of(lease.member.as_ref()) {
            Ok(segment) => {
                segment.give_back(lease.address);
                segment.shrink().await
            }
            // Its network could not be made again.
            Err(_) => self.remove_orphan(lease).await,
        }
    }

    async fn remove_orphan(&self, lease: &Lease) -> Result<(), ProgramError> {
        let _programs = self.programs.lock().await;
        // Whoever was told of it is gone with its network.
        taps::remove(&self.usual.bridge.name, &[lease.address], |_| None).await?;
        let guest = Guest {
            ports: &[],
            ..lease.guest()
        };
        program::nft("forget guests", &rules::deletion(&[guest])).await
    }

    /// Ends it: interfaces that nobody has are removed, and where nobody has any, the bridges and the rules too.
    ///
    /// # Errors
    /// [`ProgramError`]: something is left.
    pub async fn close(self) -> Result<(), ProgramError> {
        for segment in self.segments() {
            segment.empty().await?;
            segment.stop().await;
        }
        if lock(&self.holds).is_empty() {
            remove(&self.usual.bridge.name).await?;
        }
        Ok(())
    }

    /// The network behind the bridge.
    #[must_use]
    pub fn subnet(&self) -> Subnet {
        self.usual.bridge.subnet
    }

    /// The largest packet, in bytes.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.usual.bridge.mtu
    }

    /// The address at which guests ask about themselves.
    #[must_use]
    pub fn metadata(&self) -> Ipv4Addr {
        self.metadata
    }

    /// What guests' resolvers are told: the forwarder, or, where it could not start, those of the host's name servers that guests can reach.
    pub async fn resolvers(&self) -> Resolvers {
        self.resolvers_in(&self.usual).await
    }

    /// What a guest with this lease finds.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`], [`NetworkError::Broken`]
    pub async fn surroundings(&self, lease: &Lease) -> Result<Surroundings, NetworkError> {
        let segment = self.segment_of(lease.member.as_ref())?;
        let mut resolvers = self.resolvers_in(&segment).await;
        // A name without a dot is one of the network's first, and not the beginning of one in a domain.
        if lease.member.is_some() && !resolvers.options.iter().any(|option| option.starts_with("ndots:")) {
            resolvers.options.push("ndots:0".to_owned());
        }
        Ok(Surroundings {
            subnet: segment.bridge.subnet,
            ipv6: segment.bridge.ipv6,
            mtu: segment.bridge.mtu,
            resolvers,
        })
    }

    /// Where a guest is.
    fn segment_of(&self, member: Option<&Member>) -> Result<Arc<Segment>, NetworkError> {
        member.map_or_else(|| Ok(Arc::clone(&self.usual)), |member| self.segment(&member.network))
    }

    async fn resolvers_in(&self, segment: &Segment) -> Resolvers {
        let text = tokio::fs::read_to_string(&self.resolvers).await.unwrap_or_default();
        let mut resolvers = dns::parse(&text);
        resolvers.servers = if segment.has_forwarder() {
            vec![IpAddr::V4(segment.bridge.subnet.gateway())]
        } else {
            resolvers.reachable_servers()
        };
        resolvers
    }
}

/// Removes everything that a process left which is not there any more: interfaces, bridges, rules.
///
/// # Errors
/// [`ProgramError`]: something is left.
pub async fn remove(bridge: &str) -> Result<(), ProgramError> {
    taps::remove(bridge, &taps::list().await?, |_| None).await?;
    program::nft("remove the rules", &rules::removal()).await?;
    for bridge in bridge::list_shared() {
        bridge::remove(&bridge).await?;
    }
    bridge::remove(bridge).await
}

/// Removes interfaces and bridges of an earlier process that are in no network and of no guest of now.
async fn remove_what_nobody_has(usual: &str, shared: &[SharedNetwork], kept: &[Lease]) -> Result<(), ProgramError> {
    let is_kept = |tap: &Ipv4Addr| kept.iter().any(|lease| lease.address == *tap);
    let mut left = taps::list().await?;
    left.retain(|tap| !is_kept(tap));
    for definition in shared {
        let subnet = definition.subnet;
        let (inside, others) = left.into_iter().partition(|tap| subnet.guest(*tap).is_some());
        let inside: Vec<Ipv4Addr> = inside;
        let ipv6 = |address| definition.ipv6?.of_guest(subnet, address);
        taps::remove(&bridge::shared_name(subnet), &inside, ipv6).await?;
        left = others;
    }
    taps::remove(usual, &left, |_| None).await?;
    let wanted: Vec<String> = shared.iter().map(|shared| bridge::shared_name(shared.subnet)).collect();
    for bridge in bridge::list_shared() {
        if !wanted.contains(&bridge) {
            bridge::remove(&bridge).await?;
        }
    }
    Ok(())
}

impl Lease {
    fn guest(&self) -> Guest<'_> {
        Guest {
            address: self.address,
            address_ipv6: self.address_ipv6,
            has_peers: self.member.is_some(),
            ports: &self.ports,
        }
    }
}

/// Binds the ports of a guest that runs already. Where somebody else has one by now, the guest keeps it for connections that the packet filter sees first.
fn hold_again(lease: &Lease) -> Vec<Hold> {
    let mut held = Vec::new();
    for &port in &lease.ports {
        match ports::reserve(&[port.into()], lease.address_ipv6.is_some()) {
            Ok((_, holds)) => held.extend(holds),
            Err(error) => tracing::warn!("a published port of {}: {error}", lease.address),
        }
    }
    held
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under the lock is whole: a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
