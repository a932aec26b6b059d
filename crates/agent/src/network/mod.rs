//! Tasks' network: what the tasks' core asks for, done by the crate that makes bridges and interfaces.
//!
//! [`catalogue`] has the networks that users make for tasks to share.

mod catalogue;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::network::{Claim, Lease, Member, Network, PortRequest, Published, Settings, SharedNetwork, Surroundings};
use api::error::ApiError;
use futures_util::future::{BoxFuture, FutureExt};
use protocol::guest;
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::Config;
use crate::metadata;
use crate::names;
use crate::ports::{Attached, Failure, Networks};
use crate::record::{Membership, NetworkPlan, NetworkRecord, PortPlan, PublishedPort};
use crate::sentence::sentence;
use crate::store::Store;
use catalogue::Catalogue;

pub use catalogue::Definition;

/// The bridge behind which tasks are.
const BRIDGE: &str = "mote0";

/// Where the host's name servers are configured.
const RESOLVERS: &str = "/etc/resolv.conf";

/// How many interfaces wait for a task.
const SPARES: usize = 8;

/// Where interfaces of guests come from.
const TUN: &str = "/dev/net/tun";

/// The programs that make the network.
const PROGRAMS: [&str; 3] = ["ip", "bridge", "nft"];

/// `CAP_NET_ADMIN` (linux/capability.h), as a bit of the line `CapEff` in `/proc/self/status`.
const CAP_NET_ADMIN: u64 = 1 << 12;

/// The network of all tasks, and those that some share.
pub struct TaskNetworks {
    settings: Settings,
    claim: Claim,
    catalogue: Catalogue,
    // Made by `keep`, taken by `end`; in between all tasks use it at once. Without it, why there is none.
    network: RwLock<Result<Network, String>>,
}

impl TaskNetworks {
    /// The network that `config` wants; nothing is made yet. Where this process may not, or another one does, it is told once, and tasks
    /// run without.
    #[must_use]
    pub fn prepare(config: &Config, store: Store) -> Option<Self> {
        if !config.has_network {
            return None;
        }
        let obstacle = obstacle();
        let claim = match obstacle {
            Some(obstacle) => Err(obstacle),
            None => Claim::take(BRIDGE).map_err(|error| sentence(&error)),
        };
        match claim {
            Ok(claim) => Some(Self {
                settings: Settings {
                    bridge: BRIDGE.to_owned(),
                    subnet: config.network_subnet,
                    metadata: metadata::ADDRESS,
                    resolvers: PathBuf::from(RESOLVERS),
                    spares: SPARES,
                },
                claim,
                catalogue: Catalogue::new(store),
                network: RwLock::new(Err("it is not there yet".to_owned())),
            }),
            Err(obstacle) => {
                tracing::warn!("tasks have no network: {obstacle}");
                None
            }
        }
    }

    /// Answers what tasks ask about themselves, until the value is dropped. The network is there already. Where the address cannot be had, it is
    /// told, and nobody is answered.
    pub async fn serve_metadata(&self, tasks: Arc<dyn metadata::Tasks>, region: &str) -> Option<DropGuard> {
        let place = self.place(region).await?;
        let listener = match TcpListener::bind((metadata::ADDRESS, metadata::PORT)).await {
            Ok(listener) => listener,
            Err(error) => {
                let address = metadata::ADDRESS;
                tracing::warn!("tasks cannot ask about themselves, since {address} cannot be listened on: {error}");
                return None;
            }
        };
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let serving = metadata::serve(listener, tasks, place);
        tokio::spawn(async move { ended.run_until_cancelled(serving).await });
        Some(guard)
    }

    /// What the endpoint tells of the network; nothing where there is none.
    async fn place(&self, region: &str) -> Option<metadata::Surroundings> {
        let network = self.network.read().await;
        let network = network.as_ref().ok()?;
        let name_servers = network.resolvers().await.servers;
        Some(metadata::Surroundings {
            region: region.to_owned(),
            subnet: network.subnet().to_string(),
            gateway: network.subnet().gateway().to_string(),
            name_servers: name_servers.iter().map(ToString::to_string).collect(),
        })
    }

    /// The addresses of the network that is always there; nothing where it is not.
    pub async fn usual_subnet(&self) -> Option<::network::Subnet> {
        self.network.read().await.as_ref().ok().map(Network::subnet)
    }

    /// Why no task can be in the network of this name; nothing where one can.
    pub async fn problem(&self, name: &str) -> Option<String> {
        match self.network.read().await.as_ref() {
            Ok(network) => network.problem(name),
            Err(why) => Some(without(why)),
        }
    }

    async fn attach(&self, task: &str, plan: &NetworkPlan) -> Result<Attached, Failure> {
        let network = self.network.read().await;
        let network = network.as_ref().map_err(|why| without(why))?;
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let requests: Vec<PortRequest> = plan.ports.iter().map(request).collect();
        let member = plan.network.as_ref().map(|network| Member {
            network: network.clone(),
            name: task.to_owned(),
        });
        let lease = network.attach(member, &requests).await?;
        let around = network.surroundings(&lease).await?;
        Ok(Attached {
            record: record(plan, &lease, &around, names::uuid(&random)),
            network: told(plan, &lease, around),
        })
    }

    async fn detach(&self, record: &NetworkRecord) -> Result<(), Failure> {
        match self.network.read().await.as_ref() {
            Ok(network) => Ok(network.detach(&lease(record)).await?),
            Err(_) => Ok(()),
        }
    }

    /// A host agent whose network fails is better than none: tasks that need no network run, and others are told why they do not.
    async fn keep(&self, live: &[(String, NetworkRecord)]) {
        let kept: Vec<Lease> = live.iter().map(|(_, record)| lease(record)).collect();
        let opened = match self.shared() {
            Ok(shared) => Network::open(&self.settings, &self.claim, &shared, &kept)
                .await
                .map_err(|error| sentence(&error)),
            Err(why) => Err(why),
        };
        match &opened {
            Ok(network) => {
                tracing::info!(subnet = %network.subnet(), mtu = network.mtu(), kept = kept.len(), "tasks have a network");
            }
            Err(why) => tracing::warn!("tasks have no network: {why}"),
        }
        *self.network.write().await = opened;
    }

    /// What is stored of networks that tasks share. One that is not understood is left out, and told of.
    fn shared(&self) -> Result<Vec<SharedNetwork>, String> {
        let stored = self.catalogue.read().map_err(|error| sentence(&error))?;
        let understood = stored.iter().filter_map(|definition| match definition.shared() {
            Ok(shared) => Some(shared),
            Err(error) => {
                tracing::error!("the network {} cannot be used: {error}", definition.name);
                None
            }
        });
        Ok(understood.collect())
    }

    async fn end(&self) -> Result<(), Failure> {
        let ended = Err("it has ended".to_owned());
        match std::mem::replace(&mut *self.network.write().await, ended) {
            Ok(network) => Ok(network.close().await?),
            Err(_) => Ok(()),
        }
    }
}

impl Networks for TaskNetworks {
    fn check(&self, plan: &NetworkPlan) -> Result<(), ApiError> {
        self.catalogue.check(plan)
    }

    fn attach<'a>(&'a self, task: &'a str, plan: &'a NetworkPlan) -> BoxFuture<'a, Result<Attached, Failure>> {
        self.attach(task, plan).boxed()
    }

    fn detach<'a>(&'a self, record: &'a NetworkRecord) -> BoxFuture<'a, Result<(), Failure>> {
        self.detach(record).boxed()
    }

    fn keep<'a>(&'a self, live: &'a [(String, NetworkRecord)]) -> BoxFuture<'a, Result<(), Failure>> {
        async {
            self.keep(live).await;
            Ok(())
        }
        .boxed()
    }

    fn end(&self) -> BoxFuture<'_, Result<(), Failure>> {
        self.end().boxed()
    }
}

/// Why this process can make no network, and what to do.
fn obstacle() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !has_capability(&status, CAP_NET_ADMIN) {
        return Some("the host agent may not make interfaces; run it as root, or with --no-network".to_owned());
    }
    if !Path::new(TUN).exists() {
        return Some(format!("{TUN} is missing; load the kernel's module tun"));
    }
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin:/usr/bin:/bin";
    let is_there = |program: &&str| {
        path.split(':')
            .any(|directory| Path::new(directory).join(program).is_file())
    };
    let missing = PROGRAMS.iter().find(|program| !is_there(program))?;
    Some(format!(
        "the program {missing} is missing; install iproute2 and nftables"
    ))
}

/// Whether a process with this `/proc/PID/status` has a capability.
fn has_capability(status: &str, capability: u64) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
    effective.unwrap_or_default() & capability != 0
}

fn request(port: &PortPlan) -> PortRequest {
    PortRequest {
        host_address: port.host_address,
        host_port: port.host_port,
        port: port.port,
        is_udp: port.is_udp,
    }
}

/// That nothing can be in a network, and why.
fn without(why: &str) -> String {
    format!("this host agent has no network: {why}")
}

/// What is stored of a lease.
fn record(plan: &NetworkPlan, lease: &Lease, around: &Surroundings, attachment: String) -> NetworkRecord {
    // Published in the order in which it was asked for.
    let ports = plan.ports.iter().zip(&lease.ports);
    let ports = ports.map(|(asked, port)| PublishedPort {
        container: asked.container.clone(),
        host_address: port.host_address,
        host_port: port.host_port,
        port: port.port,
        is_udp: port.is_udp,
    });
    let member = lease.member.as_ref().map(|member| Membership {
        network: member.network.clone(),
        name: member.name.clone(),
        subnet: around.subnet.to_string(),
        gateway: around.subnet.gateway(),
        subnet_ipv6: around.ipv6.map(|subnet| subnet.to_string()),
        gateway_ipv6: around.ipv6.map(::network::Ipv6Subnet::gateway),
    });
    NetworkRecord {
        attachment,
        member,
        tap: lease.tap.clone(),
        mac: lease.mac,
        address: lease.address,
        address_ipv6: lease.address_ipv6,
        ports: ports.collect(),
    }
}

/// The lease of which this was stored.
fn lease(record: &NetworkRecord) -> Lease {
    let ports = record.ports.iter().map(|port| Published {
        host_address: port.host_address,
        host_port: port.host_port,
        port: port.port,
        is_udp: port.is_udp,
    });
    let member = record.member.as_ref().map(|member| Member {
        network: member.network.clone(),
        name: member.name.clone(),
    });
    Lease {
        member,
        tap: record.tap.clone(),
        mac: record.mac,
        address: record.address,
        address_ipv6: record.address_ipv6,
        ports: ports.collect(),
    }
}

/// What the guest is told.
fn told(plan: &NetworkPlan, lease: &Lease, around: Surroundings) -> guest::Network {
    let resolvers = around.resolvers;
    let ipv6 = lease.address_ipv6.zip(around.ipv6);
    guest::Network {
        mac: lease.mac,
        address: lease.address,
        prefix: around.subnet.prefix(),
        gateway: around.subnet.gateway(),
        ipv6: ipv6.map(|(address, subnet)| (address, subnet.prefix(), subnet.gateway())),
        mtu: around.mtu,
        name_servers: if plan.name_servers.is_empty() {
            resolvers.servers
        } else {
            plan.name_servers.clone()
        },
        search_domains: resolvers.search_domains,
        resolver_options: resolvers.options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_lease_is_stored_and_read_back() {
        let plan = NetworkPlan {
            network: Some("front".to_owned()),
            ports: vec![PortPlan {
                container: "web".to_owned(),
                host_address: None,
                host_port: None,
                port: 80,
                is_udp: false,
            }],
            name_servers: Vec::new(),
        };
        let original = Lease {
            member: Some(Member {
                network: "front".to_owned(),
                name: "web".to_owned(),
            }),
            tap: "mote-ac1ee002".to_owned(),
            mac: [2, 0x6d, 172, 30, 224, 2],
            address: Ipv4Addr::new(172, 30, 224, 2),
            address_ipv6: Some("fd00::2".parse().unwrap()),
            ports: vec![Published {
                host_address: Some("::".parse().unwrap()),
                host_port: 32768,
                port: 80,
                is_udp: false,
            }],
        };
        let around = Surroundings {
            subnet: "172.30.224.0/24".parse().unwrap(),
            ipv6: Some("fd00::/64".parse().unwrap()),
            mtu: 1500,
            resolvers: ::network::dns::Resolvers::default(),
        };
        let stored = record(&plan, &original, &around, "a".to_owned());
        assert_eq!(stored.ports[0].container, "web");
        assert_eq!(stored.ports[0].host_port, 32768);
        assert_eq!(lease(&stored), original);
        assert_eq!(stored.member.unwrap().subnet_ipv6.as_deref(), Some("fd00::/64"));
        let [address, gateway] = ["fd00::2", "fd00::1"].map(|text| text.parse().unwrap());
        assert_eq!(told(&plan, &original, around).ipv6, Some((address, 64, gateway)));
    }

    #[test]
    fn a_capability_is_read_from_the_effective_set() {
        let status = "Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t0000000000001000\n";
        assert!(has_capability(status, CAP_NET_ADMIN));
        assert!(!has_capability(status, CAP_NET_ADMIN << 1));
        assert!(!has_capability("", CAP_NET_ADMIN));
    }
}
