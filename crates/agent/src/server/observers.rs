//! Who is told what happens, and tells it to others: the journal and the metrics.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use api::event::EventSubject;
use axum::{Router, middleware};
use tokio::net::TcpListener;

use crate::config::MetricsAddress;
use crate::events::file::EventFile;
use crate::events::{Journal, event};
use crate::metrics::host::Host;
use crate::metrics::{self, Metrics, listener};
use crate::openapi;

/// The journal and the metrics of a host agent.
#[derive(Clone)]
pub struct Observers {
    /// What happens.
    pub journal: Journal,
    /// What is counted.
    pub metrics: Metrics,
}

impl Observers {
    /// Those of a host agent that begins, with the events that an earlier one left in `directory`.
    pub fn new(directory: &Path) -> Self {
        let journal = match EventFile::open(directory) {
            Ok((file, events)) => Journal::new(Some(file), events),
            Err(error) => {
                tracing::warn!(%error, "events will not outlive this process: cannot keep them in {}", directory.display());
                Journal::default()
            }
        };
        let mut began = event(EventSubject::Agent, "started", "agent");
        began
            .attributes
            .insert("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        journal.add(began);
        Self {
            journal,
            metrics: Metrics::new(),
        }
    }

    /// `routes`, counted, and with those that tell of the host agent.
    pub fn router(&self, routes: Router, source: Host) -> Router {
        routes
            .merge(metrics::http::router(self.metrics.clone(), Arc::new(source)))
            .merge(openapi::router())
            .layer(middleware::from_fn_with_state(
                self.metrics.clone(),
                metrics::http::count,
            ))
    }

    /// Serves metrics over TCP until `closing`, where there is an address for that.
    ///
    /// # Errors
    /// Where the address cannot be had.
    pub async fn listen(
        &self,
        address: MetricsAddress,
        source: Host,
        closing: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let MetricsAddress::At(address) = address else {
            return Ok(());
        };
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot serve metrics at {address}"))?;
        tracing::info!(%address, "serving metrics");
        tokio::spawn(listener::serve(
            listener,
            self.metrics.clone(),
            Arc::new(source),
            closing,
        ));
        Ok(())
    }

    /// The host agent ends: nobody is told anything any more.
    pub fn end(&self) {
        self.journal.add(event(EventSubject::Agent, "stopped", "agent"));
        self.journal.close();
    }
}
