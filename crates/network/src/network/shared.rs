//! Networks that guests share: they come and go while the host agent runs.

use std::sync::Arc;

use super::{Lease, Network, lock};
use crate::bridge::{self, Bridge, BridgeError};
use crate::cidr::Cidr;
use crate::error::NetworkError;
use crate::ipv6::Ipv6Subnet;
use crate::program::{self, ProgramError};
use crate::rules::{self, Reach};
use crate::segment::{Manner, Segment};
use crate::subnet::Subnet;
use crate::sysctl;

/// How many interfaces wait for a guest in each.
const SPARES: usize = 1;

/// The name of the usual network, where it is told beside others.
const USUAL: &str = "default";

/// A network that guests share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedNetwork {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub subnet: Subnet,
    /// Its IPv6 addresses, where it has any.
    pub ipv6: Option<Ipv6Subnet>,
    /// Whether its guests reach nobody but each other.
    pub is_internal: bool,
}

/// What there is of such a network.
#[derive(Debug)]
pub(super) struct Slot {
    subnet: Subnet,
    ipv6: Option<Ipv6Subnet>,
    /// Or why there is none, in a sentence.
    segment: Result<Arc<Segment>, String>,
}

impl SharedNetwork {
    fn reach(&self) -> Reach {
        if self.is_internal {
            Reach::EachOther
        } else {
            Reach::WorldAndEachOther
        }
    }
}

impl Network {
    /// Addresses for a further network: the `wanted` ones, or free ones.
    ///
    /// # Errors
    /// [`NetworkError`] where others have them.
    pub async fn choose(&self, wanted: Option<Subnet>) -> Result<Subnet, NetworkError> {
        if let Some(wanted) = wanted {
            self.check_free(wanted.into()).await?;
            return Ok(wanted);
        }
        let taken = self.taken().await?;
        let taken: Vec<Subnet> = taken.into_iter().filter_map(Cidr::v4).collect();
        Subnet::free_shared(&taken).ok_or(NetworkError::NoSubnet)
    }

    /// IPv6 addresses for a further network: the `wanted` ones, or free ones made of `random` bits.
    ///
    /// # Errors
    /// [`NetworkError`] where others have them, or where the host has no IPv6.
    pub async fn choose_ipv6(&self, wanted: Option<Ipv6Subnet>, random: u64) -> Result<Ipv6Subnet, NetworkError> {
        sysctl::check_ipv6().map_err(BridgeError::from)?;
        if let Some(wanted) = wanted {
            self.check_free(wanted.into()).await?;
            return Ok(wanted);
        }
        let taken = self.taken().await?;
        let taken: Vec<Ipv6Subnet> = taken.into_iter().filter_map(Cidr::v6).collect();
        Ipv6Subnet::free(&taken, random).ok_or(NetworkError::NoSubnet)
    }

    /// What networks and routes of the host have.
    async fn taken(&self) -> Result<Vec<Cidr>, NetworkError> {
        let known = self.known().into_iter().map(|(_, subnet)| subnet);
        Ok(bridge::taken().await?.into_iter().chain(known).collect())
    }

    async fn check_free(&self, wanted: Cidr) -> Result<(), NetworkError> {
        if !wanted.is_of_hosts() {
            return Err(NetworkError::Unusable { wanted });
        }
        if let Some((name, subnet)) = self.known().into_iter().find(|(_, subnet)| subnet.overlaps(wanted)) {
            return Err(NetworkError::Overlap { wanted, name, subnet });
        }
        Ok(bridge::check_free(&[wanted]).await?)
    }

    /// What all networks have, by name.
    fn known(&self) -> Vec<(String, Cidr)> {
        let usual = (USUAL.to_owned(), self.usual.bridge.subnet.into());
        let shared = lock(&self.shared);
        let shared = shared.iter().flat_map(|(name, slot)| {
            let both = [Some(slot.subnet.into()), slot.ipv6.map(Cidr::from)];
            both.into_iter().flatten().map(|subnet| (name.clone(), subnet))
        });
        shared.chain([usual]).collect()
    }

    /// Makes a network that guests share.
    ///
    /// # Errors
    /// [`NetworkError`]; nothing is left then.
    pub async fn add(&self, definition: &SharedNetwork) -> Result<(), NetworkError> {
        let segment = self.make(definition, self.mtu(), &[]).await?;
        let opened = async {
            {
                let _programs = self.programs.lock().await;
                program::nft("open a network", &rules::opening(&segment.place())).await?;
            }
            segment.fill().await
        };
        if let Err(error) = opened.await {
            // It is the reason that is told.
            let _ = self.dismantle(&segment).await;
            return Err(error.into());
        }
        self.put(definition, Ok(segment));
        Ok(())
    }

    /// Removes a network that guests shared; nobody is in it any more. There may be none of this name.
    ///
    /// # Errors
    /// [`ProgramError`]: something of it is left, until the next process opens the network.
    pub async fn remove(&self, name: &str) -> Result<(), ProgramError> {
        let slot = lock(&self.shared).remove(name);
        match slot.map(|slot| slot.segment) {
            Some(Ok(segment)) => self.dismantle(&segment).await,
            Some(Err(_)) | None => Ok(()),
        }
    }

    /// Why no guest can be in the network of this name; nothing where one can.
    #[must_use]
    pub fn problem(&self, name: &str) -> Option<String> {
        self.segment(name).err().map(|error| error.to_string())
    }

    async fn dismantle(&self, segment: &Segment) -> Result<(), ProgramError> {
        segment.empty().await?;
        segment.stop().await;
        let _programs = self.programs.lock().await;
        bridge::remove(&segment.bridge.name).await?;
        program::nft("close a network", &rules::closing(&segment.place())).await
    }

    /// Makes a network that was there before. Its rules are set up with all others.
    pub(super) async fn open_shared(&self, definition: &SharedNetwork, mtu: u16, kept: &[&Lease]) {
        let made = self.make(definition, mtu, kept).await.map_err(|error| {
            let why = with_causes(&error);
            tracing::warn!("the network {} cannot be made: {why}", definition.name);
            why
        });
        self.put(definition, made);
    }

    async fn make(&self, definition: &SharedNetwork, mtu: u16, kept: &[&Lease]) -> Result<Arc<Segment>, NetworkError> {
        let members = kept
            .iter()
            .filter_map(|lease| Some((lease.address, lease.member.as_ref()?)));
        let inside = members.filter(|(_, member)| member.network == definition.name);
        let taken: Vec<_> = inside
            .map(|(address, member)| (address, member.name.as_str()))
            .collect();
        let bridge = Bridge::make_shared(definition.subnet, definition.ipv6, mtu).await?;
        if definition.ipv6.is_some() && !definition.is_internal {
            sysctl::forward_ipv6().map_err(BridgeError::from)?;
        }
        let manner = Manner {
            name: Some(&definition.name),
            reach: definition.reach(),
            spares: SPARES,
            resolvers: &self.resolvers,
        };
        let segment = Segment::start(bridge, manner, &taken, Arc::clone(&self.programs)).await?;
        Ok(Arc::new(segment))
    }

    fn put(&self, definition: &SharedNetwork, segment: Result<Arc<Segment>, String>) {
        let slot = Slot {
            subnet: definition.subnet,
            ipv6: definition.ipv6,
            segment,
        };
        lock(&self.shared).insert(definition.name.clone(), slot);
    }

    /// All that are there, the usual one first.
    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        let shared = lock(&self.shared);
        let shared = shared.values().filter_map(|slot| slot.segment.as_ref().ok());
        [&self.usual].into_iter().chain(shared).cloned().collect()
    }

    /// The one of this name that guests share.
    pub(super) fn segment(&self, name: &str) -> Result<Arc<Segment>, NetworkError> {
        let name = name.to_owned();
        match lock(&self.shared).get(&name).map(|slot| &slot.segment) {
            Some(Ok(segment)) => Ok(Arc::clone(segment)),
            Some(Err(why)) => Err(NetworkError::Broken { name, why: why.clone() }),
            None => Err(NetworkError::Unknown { name }),
        }
    }
}

/// An error and all that caused it, as one sentence.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
