//! The calls about networks.

use hyper::Method;

use super::body::Outgoing;
use super::{Client, ClientError, percent_encode};
use crate::network::{CreateNetwork, Network, NetworkList};
use crate::route;

impl Client {
    /// The networks.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn networks(&self) -> Result<Vec<Network>, ClientError> {
        let list: NetworkList = self.json(Method::GET, route::NETWORKS, Outgoing::empty()).await?;
        Ok(list.networks)
    }

    /// The network of this name.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn network(&self, name: &str) -> Result<Network, ClientError> {
        self.json(Method::GET, &path(name), Outgoing::empty()).await
    }

    /// Makes a network.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn create_network(&self, request: &CreateNetwork) -> Result<Network, ClientError> {
        self.json(Method::POST, route::NETWORKS, Outgoing::json(request)).await
    }

    /// Removes a network that no task is in.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn remove_network(&self, name: &str) -> Result<(), ClientError> {
        self.send(Method::DELETE, &path(name), Outgoing::empty())
            .await
            .map(drop)
    }
}

fn path(name: &str) -> String {
    route::NETWORK.replace("{network}", &percent_encode(name))
}
