//! What a host agent serves beside its own routes, and to whom over TCP: the calls of ECS and `CloudWatch` Logs, services, sessions, logs and events.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::route;
use api::task::Status;
use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::aws::{Aws, ChannelSessions, NoSessions, Parts};
use crate::channel::Channels;
use crate::config::{Config, LISTEN_DEFAULT, Listen};
use crate::core::Core;
use crate::ecs::definition::HostPaths;
use crate::ecs::ports::CommandSessions;
use crate::events;
use crate::events::tasks::TaskEvents;
use crate::http::identity;
use crate::http::usage;
use crate::logs::Logs;
use crate::record::TaskRecord;
use crate::services::Services;

use super::housekeeping;
use super::observers::Observers;

/// How often at the most old tasks are looked for.
const FORGETTING_PERIOD: Duration = Duration::from_secs(60);

/// What a host agent serves beside its own routes.
pub struct Outside {
    parts: Parts,
    aws: Aws,
    services: Services,
    observers: Observers,
    channels: Channels,
    listener: Option<TcpListener>,
    endpoint: Option<String>,
}

impl Outside {
    /// Takes up services and listens.
    ///
    /// # Errors
    /// What is in the way, as a sentence for a person.
    pub async fn start(
        config: &Config,
        parts: Parts,
        core: &Arc<Core>,
        logs: Logs,
        observers: &Observers,
    ) -> anyhow::Result<Self> {
        let listener = listen(config.listen).await?;
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let channels = Channels::default();
        let sessions: Arc<dyn CommandSessions> = match address {
            Some(address) => Arc::new(ChannelSessions::new(
                core.clone(),
                channels.clone(),
                reached_at(address).to_string(),
            )),
            None => Arc::new(NoSessions),
        };
        let paths = HostPaths::new(config.host_paths.clone());
        housekeeping::sweep_logs(logs.clone(), parts.store.clone());
        housekeeping::note_usage(core.clone(), parts.store.clone());
        let (aws, services) = parts.serve(core, logs, sessions, observers.journal.clone(), paths)?;
        let outside = Self {
            parts,
            aws,
            services,
            observers: observers.clone(),
            channels,
            endpoint: address.map(|address| format!("http://{}", reached_at(address))),
            listener,
        };
        outside.follow(core)?;
        Ok(outside)
    }

    /// What is served on the unix socket.
    pub fn local(&self, core: &Arc<Core>) -> Router {
        let events = Router::new()
            .route(route::EVENTS, get(events::http::events))
            .with_state(self.observers.journal.clone());
        let identity = identity::Identity {
            credentials: self.parts.credentials.clone(),
            secrets: self.parts.secrets.clone(),
            endpoint: self.endpoint.clone(),
        };
        let usage = usage::router(core.clone(), self.parts.store.clone());
        self.aws
            .router()
            .merge(events)
            .merge(identity::router(identity))
            .merge(usage)
    }

    /// The services.
    pub fn services(&self) -> Services {
        self.services.clone()
    }

    /// What is served over TCP, where the host agent listens there: `router`, for who signs.
    pub fn remote(self, router: Router) -> Option<(TcpListener, Router)> {
        let guarded = self.parts.guarded(router);
        // A session's token is what is checked there.
        Some((self.listener?, self.channels.router().merge(guarded)))
    }

    /// Tells services, events and metrics of every change of every task, and forgets tasks that stopped long ago.
    fn follow(&self, core: &Arc<Core>) -> anyhow::Result<()> {
        let mut changes = core.changes();
        let mut events = TaskEvents::default();
        let found = core.list();
        for record in &found {
            events.found(record);
            self.observers.metrics.found(record);
        }
        self.services.resume(&found)?;
        let (core, services, observers) = (core.clone(), self.services.clone(), self.observers.clone());
        let store = self.parts.store.clone();
        tokio::spawn(async move {
            let mut see = |record: &TaskRecord| {
                services.saw(record);
                // Of a task that was told of to its end, nothing more is told.
                if record.status != Status::Stopped || events.knows(record) {
                    observers.metrics.changed(record);
                    (events.changed(record).into_iter()).for_each(|event| observers.journal.add(event));
                }
            };
            let mut looked_at = Instant::now();
            loop {
                match changes.recv().await {
                    Ok(record) => {
                        see(&record);
                        if record.status == Status::Stopped && looked_at.elapsed() >= FORGETTING_PERIOD {
                            looked_at = Instant::now();
                            let (core, store) = (core.clone(), store.clone());
                            // Nobody waits for it.
                            drop(spawn_blocking(move || housekeeping::forget_old(&core, &store)));
                        }
                    }
                    // Too slow: what was missed is seen as it is now.
                    Err(RecvError::Lagged(_)) => {
                        core.list().iter().for_each(|record| see(record));
                        services.refresh(|| core.list());
                    }
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Ok(())
    }
}

async fn listen(wanted: Listen) -> anyhow::Result<Option<TcpListener>> {
    let (address, is_default) = match wanted {
        Listen::Nowhere => return Ok(None),
        Listen::Default => (LISTEN_DEFAULT, true),
        Listen::At(address) => (address, false),
    };
    match TcpListener::bind(address).await {
        Ok(listener) => {
            tracing::info!(%address, "listening for signed requests");
            Ok(Some(listener))
        }
        Err(error) if is_default => {
            tracing::warn!(%address, %error, "not listening over TCP: name another address with --listen");
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen at {address}")),
    }
}

/// Where clients on this host reach a listener at `address`.
fn reached_at(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
