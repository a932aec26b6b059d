//! The networks that tasks share, as users make and remove them: what is stored comes first, and what is on the host follows.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::network::bridge::BridgeError;
use ::network::subnet::SubnetError;
use ::network::sysctl::SettingError;
use ::network::{Ipv6Subnet, NetworkError, SharedNetwork, Subnet};
use api::error::{ApiError, ErrorCode};
use api::network::{CreateNetwork, DEFAULT};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as AsyncMutex;

use super::{TaskNetworks, without};
use crate::clock;
use crate::names;
use crate::record::NetworkPlan;
use crate::sentence::sentence;
use crate::store::{Store, StoreError};

/// The most networks: each has a bridge, an interface that waits and a name server.
const NETWORKS_MAX: usize = 256;

/// The most labels of a network, and the longest of them with its value, in bytes.
const LABELS_MAX: usize = 128;
const LABEL_LEN_MAX: usize = 4096;

/// Names that mean something else where a task is run.
const RESERVED: [&str; 4] = [DEFAULT, "none", "bridge", "host"];

/// A network that tasks share, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub subnet: String,
    /// Its IPv6 addresses, where it has any.
    // Networks of earlier versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_ipv6: Option<String>,
    /// Whether its tasks reach nobody but each other.
    pub is_internal: bool,
    /// Key and value.
    pub labels: BTreeMap<String, String>,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

impl Definition {
    /// Its addresses.
    ///
    /// # Errors
    /// Where somebody else than this host agent has written it.
    pub fn subnet(&self) -> Result<Subnet, SubnetError> {
        self.subnet.parse()
    }

    /// Its IPv6 addresses, where it has any.
    ///
    /// # Errors
    /// As for [`Self::subnet`].
    pub fn subnet_ipv6(&self) -> Result<Option<Ipv6Subnet>, SubnetError> {
        parsed(self.subnet_ipv6.as_deref())
    }

    pub(super) fn shared(&self) -> Result<SharedNetwork, SubnetError> {
        Ok(SharedNetwork {
            name: self.name.clone(),
            subnet: self.subnet()?,
            ipv6: self.subnet_ipv6()?,
            is_internal: self.is_internal,
        })
    }
}

/// What is defined.
pub(super) struct Catalogue {
    store: Store,
    // Whoever submits a task looks in; changed by those who hold `changes`.
    known: Mutex<BTreeMap<String, Definition>>,
    /// Held while a network is made or removed.
    changes: AsyncMutex<()>,
}

impl Catalogue {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            known: Mutex::default(),
            changes: AsyncMutex::default(),
        }
    }

    /// Reads what is stored.
    pub(super) fn read(&self) -> Result<Vec<Definition>, StoreError> {
        let stored: Vec<Definition> = self.store.networks()?;
        let by_name = stored
            .iter()
            .map(|definition| (definition.name.clone(), definition.clone()));
        *self.lock() = by_name.collect();
        Ok(stored)
    }

    pub(super) fn check(&self, plan: &NetworkPlan) -> Result<(), ApiError> {
        let Some(name) = &plan.network else { return Ok(()) };
        match self.lock().get(name) {
            None => Err(unknown(name)),
            Some(network) if network.is_internal && !plan.ports.is_empty() => Err(refusal(
                ErrorCode::InvalidParameter,
                format!("the network {name:?} is internal, so nothing in it can be published"),
            )),
            Some(_) => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Definition>> {
        // Each change is one.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskNetworks {
    /// The networks that tasks share, by name.
    #[must_use]
    pub fn definitions(&self) -> Vec<Definition> {
        self.catalogue.lock().values().cloned().collect()
    }

    /// The one of this name.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`]
    pub fn definition(&self, name: &str) -> Result<Definition, ApiError> {
        self.catalogue.lock().get(name).cloned().ok_or_else(|| unknown(name))
    }

    /// Makes a network. It is there, and stored, when this returns.
    ///
    /// # Errors
    /// What is in the way; then there is no such network.
    pub async fn create(&self, request: &CreateNetwork) -> Result<Definition, ApiError> {
        check_request(request)?;
        let malformed = |error: SubnetError| refusal(ErrorCode::InvalidParameter, error.to_string());
        let wanted: Option<Subnet> = parsed(request.subnet.as_deref()).map_err(malformed)?;
        let wanted_ipv6: Option<Ipv6Subnet> = parsed(request.subnet_ipv6.as_deref()).map_err(malformed)?;
        let catalogue = &self.catalogue;
        let _changes = catalogue.changes.lock().await;
        let name = &request.name;
        let (is_there, count) = {
            let known = catalogue.lock();
            (known.contains_key(name), known.len())
        };
        if is_there {
            let message = format!("there is a network {name:?} already");
            return Err(refusal(ErrorCode::Conflict, message));
        }
        if count >= NETWORKS_MAX {
            let message = format!("there are {NETWORKS_MAX} networks: remove one first");
            return Err(refusal(ErrorCode::Conflict, message));
        }
        let network = self.network.read().await;
        let network = network.as_ref();
        let network = network.map_err(|why| refusal(ErrorCode::HostUnable, without(why)))?;
        let shared = SharedNetwork {
            name: name.clone(),
            subnet: network.choose(wanted).await.map_err(|error| refused(&error))?,
            ipv6: if request.ipv6 {
                let mut random = [0; 8];
                rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
                    .map_err(|error| refusal(ErrorCode::Internal, error.to_string()))?;
                let chosen = network.choose_ipv6(wanted_ipv6, u64::from_ne_bytes(random)).await;
                Some(chosen.map_err(|error| refused(&error))?)
            } else {
                None
            },
            is_internal: request.internal,
        };
        let definition = Definition {
            name: name.clone(),
            subnet: shared.subnet.to_string(),
            subnet_ipv6: shared.ipv6.map(|subnet| subnet.to_string()),
            is_internal: request.internal,
            labels: request.labels.clone(),
            created_ms: clock::wall_ms(),
        };
        // Whoever dies in between leaves one that is made at the next start.
        catalogue
            .store
            .put_network(name, &definition)
            .map_err(|error| stored(&error))?;
        if let Err(error) = network.add(&shared).await {
            catalogue.store.remove_network(name).map_err(|error| stored(&error))?;
            return Err(refused(&error));
        }
        catalogue.lock().insert(name.clone(), definition.clone());
        tracing::info!(network = name, subnet = %shared.subnet, "made a network");
        Ok(definition)
    }

    /// Removes a network, in which `tasks` tells who is.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], [`ErrorCode::Conflict`] where a task is in it.
    pub async fn remove(&self, name: &str, tasks: impl Fn(&str) -> Vec<String>) -> Result<(), ApiError> {
        let catalogue = &self.catalogue;
        let _changes = catalogue.changes.lock().await;
        if name == DEFAULT {
            let message = format!("the network {DEFAULT:?} is always there");
            return Err(refusal(ErrorCode::Conflict, message));
        }
        self.definition(name)?;
        let inside = tasks(name);
        if !inside.is_empty() {
            let message = format!(
                "the network {name:?} is in use by {}: stop that first",
                inside.join(", ")
            );
            return Err(refusal(ErrorCode::Conflict, message));
        }
        catalogue.store.remove_network(name).map_err(|error| stored(&error))?;
        catalogue.lock().remove(name);
        tracing::info!(network = name, "removed a network");
        if let Ok(network) = self.network.read().await.as_ref() {
            let removed = network.remove(name).await;
            return removed.map_err(|error| refusal(ErrorCode::Internal, sentence(&error)));
        }
        Ok(())
    }
}

fn parsed<T: FromStr>(text: Option<&str>) -> Result<Option<T>, T::Err> {
    text.map(str::parse).transpose()
}

fn check_request(request: &CreateNetwork) -> Result<(), ApiError> {
    let invalid = |message: String| Err(refusal(ErrorCode::InvalidParameter, message));
    names::check_network(&request.name)?;
    if RESERVED.contains(&request.name.as_str()) {
        return invalid(format!(
            "{:?} means something else as a network: give another name",
            request.name
        ));
    }
    if let Some(subnet) = request.subnet_ipv6.as_ref().filter(|_| !request.ipv6) {
        return invalid(format!("{subnet} is a network of IPv6: ask for IPv6 with --ipv6"));
    }
    if request.labels.len() > LABELS_MAX {
        return invalid(format!("a network can have {LABELS_MAX} labels"));
    }
    let is_long = |(key, value): (&String, &String)| key.is_empty() || key.len() + value.len() > LABEL_LEN_MAX;
    if request.labels.iter().any(is_long) {
        return invalid(format!("a label needs a key, and has at most {LABEL_LEN_MAX} bytes"));
    }
    Ok(())
}

fn refusal(code: ErrorCode, message: String) -> ApiError {
    ApiError { code, message }
}

fn unknown(name: &str) -> ApiError {
    let name = name.to_owned();
    refusal(ErrorCode::NotFound, NetworkError::Unknown { name }.to_string())
}

fn stored(error: &StoreError) -> ApiError {
    refusal(
        ErrorCode::HostUnable,
        format!("the network cannot be stored: {}", sentence(error)),
    )
}

fn refused(error: &NetworkError) -> ApiError {
    let code = match error {
        NetworkError::Overlap { .. } | NetworkError::Bridge(BridgeError::Overlap { .. }) => ErrorCode::Conflict,
        NetworkError::Unusable { .. } => ErrorCode::InvalidParameter,
        NetworkError::NoSubnet
        | NetworkError::Bridge(BridgeError::Narrow { .. } | BridgeError::Setting(SettingError::NoIpv6)) => {
            ErrorCode::HostUnable
        }
        _ => ErrorCode::Internal,
    };
    refusal(code, sentence(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(networks: &[(&str, bool)]) -> (tempfile::TempDir, Catalogue) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("mote.db")).unwrap();
        for (name, is_internal) in networks {
            let definition = Definition {
                name: (*name).to_owned(),
                subnet: "172.30.0.0/24".to_owned(),
                subnet_ipv6: None,
                is_internal: *is_internal,
                labels: BTreeMap::new(),
                created_ms: 1,
            };
            store.put_network(name, &definition).unwrap();
        }
        let catalogue = Catalogue::new(store);
        assert_eq!(catalogue.read().unwrap().len(), networks.len());
        (directory, catalogue)
    }

    fn plan(network: Option<&str>, has_port: bool) -> NetworkPlan {
        let port = crate::record::PortPlan {
            container: "main".to_owned(),
            host_address: None,
            host_port: None,
            port: 80,
            is_udp: false,
        };
        NetworkPlan {
            network: network.map(str::to_owned),
            ports: vec![port; usize::from(has_port)],
            name_servers: Vec::new(),
        }
    }

    #[test]
    fn a_task_is_in_a_network_that_is_stored_and_publishes_nothing_of_an_internal_one() {
        let (_directory, catalogue) = catalogue(&[("front", false), ("back", true)]);
        for (network, has_port) in [(None, true), (Some("front"), true), (Some("back"), false)] {
            catalogue.check(&plan(network, has_port)).unwrap();
        }
        let refusal = catalogue.check(&plan(Some("back"), true)).unwrap_err();
        assert!(refusal.message.contains("is internal"), "{refusal}");
        let refusal = catalogue.check(&plan(Some("other"), false)).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::NotFound);
        assert!(refusal.message.contains("mote network create other"), "{refusal}");
    }

    #[test]
    fn a_removed_network_is_not_stored_any_more() {
        let (_directory, catalogue) = catalogue(&[("front", false)]);
        assert!(catalogue.store.remove_network("front").unwrap());
        assert!(!catalogue.store.remove_network("front").unwrap());
        assert_eq!(catalogue.read().unwrap(), []);
    }

    #[test]
    fn a_network_of_an_earlier_version_has_no_ipv6() {
        let text = r#"{"name":"a","subnet":"10.0.0.0/24","is_internal":false,"labels":{},"created_ms":1}"#;
        let definition: Definition = serde_json::from_str(text).unwrap();
        assert_eq!(definition.shared().unwrap().ipv6, None);
        assert_eq!(serde_json::to_string(&definition).unwrap(), text);
        let subnet_ipv6 = Some("fd00::/64".to_owned());
        let shared = Definition {
            subnet_ipv6,
            ..definition
        }
        .shared()
        .unwrap();
        assert_eq!(
            shared.ipv6.map(|subnet| subnet.to_string()).as_deref(),
            Some("fd00::/64")
        );
    }

    #[test]
    fn an_ipv6_subnet_needs_ipv6() {
        let mut request = CreateNetwork {
            name: "front".to_owned(),
            subnet_ipv6: Some("fd00::/64".to_owned()),
            ..CreateNetwork::default()
        };
        let refusal = check_request(&request).unwrap_err();
        assert!(refusal.message.contains("--ipv6"), "{refusal}");
        request.ipv6 = true;
        check_request(&request).unwrap();
    }

    #[test]
    fn some_names_and_labels_are_refused() {
        let check = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            check_request(&CreateNetwork {
                name: name.to_owned(),
                labels: labels.collect(),
                ..CreateNetwork::default()
            })
        };
        check("front", &[("a", "")]).unwrap();
        for name in ["default", "none", "", "-a", "a b", "a/b", &"a".repeat(64)] {
            check(name, &[]).unwrap_err();
        }
        check("front", &[("", "a")]).unwrap_err();
        check("front", &[("a", &"b".repeat(LABEL_LEN_MAX))]).unwrap_err();
    }
}
