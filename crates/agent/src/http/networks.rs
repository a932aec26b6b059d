//! The routes of networks.

use std::sync::Arc;

use ::network::Ipv6Subnet;
use ::network::subnet::SubnetError;
use api::error::{ApiError, ErrorCode};
use api::network::{CreateNetwork, DEFAULT, Network, NetworkList, NetworkTask};
use api::route;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};

use super::body::Document;
use super::refusal::Refusal;
use crate::core::Core;
use crate::network::{Definition, TaskNetworks};
use crate::record::TaskRecord;

/// What the routes answer from.
#[derive(Clone)]
struct Networks {
    core: Arc<Core>,
    /// Nothing where the host agent was started without.
    networks: Option<Arc<TaskNetworks>>,
}

/// The routes.
pub fn router(core: Arc<Core>, networks: Option<Arc<TaskNetworks>>) -> Router {
    Router::new()
        .route(route::NETWORKS, get(list).post(create))
        .route(route::NETWORK, get(describe).delete(remove))
        .with_state(Networks { core, networks })
}

async fn list(State(state): State<Networks>) -> Result<Json<NetworkList>, Refusal> {
    let mut networks = Vec::new();
    if let Some(known) = &state.networks {
        networks.extend(state.usual(known).await);
        for definition in known.definitions() {
            networks.push(state.view(known, definition).await?);
        }
    }
    Ok(Json(NetworkList { networks }))
}

async fn create(
    State(state): State<Networks>,
    Document(request): Document<CreateNetwork>,
) -> Result<Json<Network>, Refusal> {
    let networks = state.there()?;
    let definition = networks.create(&request).await?;
    Ok(Json(state.view(networks, definition).await?))
}

async fn describe(State(state): State<Networks>, Path(name): Path<String>) -> Result<Json<Network>, Refusal> {
    let networks = state.there()?;
    if name == DEFAULT
        && let Some(usual) = state.usual(networks).await
    {
        return Ok(Json(usual));
    }
    let definition = networks.definition(&name)?;
    Ok(Json(state.view(networks, definition).await?))
}

async fn remove(State(state): State<Networks>, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    let networks = state.there()?;
    networks.remove(&name, |name| state.core.names_in(name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Networks {
    fn there(&self) -> Result<&Arc<TaskNetworks>, ApiError> {
        self.networks.as_ref().ok_or_else(|| ApiError {
            code: ErrorCode::HostUnable,
            message: "this host agent was started without a network".to_owned(),
        })
    }

    /// The network that is always there.
    async fn usual(&self, networks: &TaskNetworks) -> Option<Network> {
        let subnet = networks.usual_subnet().await?;
        Some(Network {
            name: DEFAULT.to_owned(),
            subnet: subnet.to_string(),
            gateway: subnet.gateway(),
            subnet_ipv6: None,
            gateway_ipv6: None,
            internal: false,
            labels: [].into(),
            created_unix_ms: None,
            problem: None,
            tasks: self.tasks(DEFAULT),
        })
    }

    async fn view(&self, networks: &TaskNetworks, definition: Definition) -> Result<Network, ApiError> {
        let misunderstood = |error: SubnetError| ApiError {
            code: ErrorCode::Internal,
            message: error.to_string(),
        };
        let subnet = definition.subnet().map_err(misunderstood)?;
        let ipv6 = definition.subnet_ipv6().map_err(misunderstood)?;
        Ok(Network {
            problem: networks.problem(&definition.name).await,
            tasks: self.tasks(&definition.name),
            name: definition.name,
            subnet: definition.subnet,
            gateway: subnet.gateway(),
            subnet_ipv6: definition.subnet_ipv6,
            gateway_ipv6: ipv6.map(Ipv6Subnet::gateway),
            internal: definition.is_internal,
            labels: definition.labels,
            created_unix_ms: Some(definition.created_ms),
        })
    }

    fn tasks(&self, network: &str) -> Vec<NetworkTask> {
        let task = |task: &Arc<TaskRecord>| NetworkTask {
            id: task.id.clone(),
            name: task.name.clone(),
            address: task.network.as_ref().map(|network| network.address),
            address_ipv6: task.network.as_ref().and_then(|network| network.address_ipv6),
        };
        self.core.in_network(network).iter().map(task).collect()
    }
}
