//! Networks that tasks share: those of one reach each other, by address and by name.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// The name of the network of tasks that name none: each is by itself there.
pub const DEFAULT: &str = "default";

/// The body of a `POST` to [`crate::route::NETWORKS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateNetwork {
    /// Its name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
    pub name: String,
    /// Its addresses, such as `172.30.5.0/24`; free ones where absent.
    #[serde(default)]
    pub subnet: Option<String>,
    /// Whether its tasks have IPv6 addresses beside.
    #[serde(default)]
    pub ipv6: bool,
    /// Their network, such as `fd12:3456:789a::/64`; a free one where absent.
    #[serde(default)]
    pub subnet_ipv6: Option<String>,
    /// Whether its tasks reach nobody but each other.
    #[serde(default)]
    pub internal: bool,
    /// Labels of the user's own.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The answer to a `GET` of [`crate::route::NETWORKS`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkList {
    /// The one of tasks that name none first, then by name.
    pub networks: Vec<Network>,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub subnet: String,
    /// The host's address in it.
    pub gateway: Ipv4Addr,
    /// Its IPv6 addresses, where its tasks have any.
    #[serde(default)]
    pub subnet_ipv6: Option<String>,
    /// The host's IPv6 address in it.
    #[serde(default)]
    pub gateway_ipv6: Option<Ipv6Addr>,
    /// Whether its tasks reach nobody but each other.
    pub internal: bool,
    /// Labels of the user's own.
    pub labels: BTreeMap<String, String>,
    /// When it was made, in milliseconds since the Unix epoch; absent of the one that is always there.
    pub created_unix_ms: Option<u64>,
    /// Why no task can be in it, in a sentence, where none can.
    pub problem: Option<String>,
    /// The tasks in it that have not stopped.
    pub tasks: Vec<NetworkTask>,
}

/// A task in a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkTask {
    /// Its id.
    pub id: String,
    /// Its name, by which the others find it.
    pub name: String,
    /// Its address, once it has one.
    pub address: Option<Ipv4Addr>,
    /// Its IPv6 address, once it has one.
    #[serde(default)]
    pub address_ipv6: Option<Ipv6Addr>,
}
