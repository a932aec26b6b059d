//! The calls about the host, its host agent and who may ask it.

use hyper::Method;

use super::body::Outgoing;
use super::{Client, ClientError, Lines, percent_encode};
use crate::event::{Event, EventsQuery};
use crate::identity::{AccessKey, AccessKeyList, CreateAccessKey, PutSecret, SecretList, SecretSummary};
use crate::route;
use crate::system::{DiskUse, PruneRequest, Pruned, System};
use crate::usage::{Usage, UsageList, UsageQuery};

impl Client {
    /// The host and its host agent.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn system(&self) -> Result<System, ClientError> {
        self.json(Method::GET, route::SYSTEM, Outgoing::empty()).await
    }

    /// What everything takes.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn disk_use(&self) -> Result<DiskUse, ClientError> {
        self.json(Method::GET, route::SYSTEM_DF, Outgoing::empty()).await
    }

    /// Removes what nothing uses.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn prune(&self, request: &PruneRequest) -> Result<Pruned, ClientError> {
        let body = Outgoing::json(request);
        self.json(Method::POST, route::SYSTEM_PRUNE, body).await
    }

    /// What happens, as it happens.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn events(&self, query: &EventsQuery) -> Result<Lines<Event>, ClientError> {
        let mut path = format!("{}?follow={}", route::EVENTS, query.follow);
        push_number(&mut path, "since_ms", query.since_ms);
        push_number(&mut path, "until_ms", query.until_ms);
        self.lines(Method::GET, &path, Outgoing::empty()).await
    }

    /// What tasks have reserved and used.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn usage(&self, query: &UsageQuery) -> Result<Vec<Usage>, ClientError> {
        let by = serde_json::to_value(query.by).unwrap_or_default();
        let mut path = format!("{}?by={}", route::USAGE, by.as_str().unwrap_or_default());
        push_number(&mut path, "since_ms", query.since_ms);
        push_number(&mut path, "until_ms", query.until_ms);
        push_number(&mut path, "minimum_seconds", Some(query.minimum_seconds));
        push_number(&mut path, "scratch_free_mib", Some(query.scratch_free_mib));
        if let Some(tag) = &query.tag {
            path.push_str(&format!("&tag={}", percent_encode(tag)));
        }
        let list: UsageList = self.json(Method::GET, &path, Outgoing::empty()).await?;
        Ok(list.usage)
    }

    /// The access keys.
    ///
    /// # Errors
    /// [`ClientError`]; also where this connection is none to the unix socket.
    pub async fn access_keys(&self) -> Result<AccessKeyList, ClientError> {
        self.json(Method::GET, route::CREDENTIALS, Outgoing::empty()).await
    }

    /// Makes an access key.
    ///
    /// # Errors
    /// As [`Self::access_keys`].
    pub async fn create_access_key(&self, request: &CreateAccessKey) -> Result<AccessKey, ClientError> {
        let body = Outgoing::json(request);
        self.json(Method::POST, route::CREDENTIALS, body).await
    }

    /// Removes an access key.
    ///
    /// # Errors
    /// As [`Self::access_keys`].
    pub async fn remove_access_key(&self, id: &str) -> Result<(), ClientError> {
        let path = route::CREDENTIAL.replace("{id}", &percent_encode(id));
        self.send(Method::DELETE, &path, Outgoing::empty()).await.map(drop)
    }

    /// The secrets, without their values.
    ///
    /// # Errors
    /// As [`Self::access_keys`].
    pub async fn secrets(&self) -> Result<SecretList, ClientError> {
        self.json(Method::GET, route::SECRETS, Outgoing::empty()).await
    }

    /// Stores a secret.
    ///
    /// # Errors
    /// As [`Self::access_keys`].
    pub async fn put_secret(&self, request: &PutSecret) -> Result<SecretSummary, ClientError> {
        self.json(Method::POST, route::SECRETS, Outgoing::json(request)).await
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// As [`Self::access_keys`].
    pub async fn remove_secret(&self, name: &str) -> Result<(), ClientError> {
        let path = route::SECRET.replace("{name}", &percent_encode(name));
        self.send(Method::DELETE, &path, Outgoing::empty()).await.map(drop)
    }
}

/// Adds a parameter to a path that has one already, where there is something to add.
pub(super) fn push_number(path: &mut String, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        path.push_str(&format!("&{name}={value}"));
    }
}
