//! What stands behind the calls on a host: store, core, services, logs and keys, put together.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::exec::Session;
use axum::Router;
use axum::middleware;
use futures_util::future::{BoxFuture, FutureExt};

use super::{Aws, Gate, guard};
use crate::clock;
use crate::core::{Core, CoreError, NewTask, StopTask};
use crate::credentials::Credentials;
use crate::ecs::definition::HostPaths;
use crate::ecs::ports::{CommandSessions, TaskCore};
use crate::ecs::{Catalogue, CatalogueServices, DEFAULT_REGION, Ecs, ServiceTasks};
use crate::events::Journal;
use crate::logs::Logs;
use crate::logs::cloudwatch::CloudWatch;
use crate::record::TaskRecord;
use crate::secrets::SecretStore;
use crate::secrets::seal::Seal;
use crate::services::outside::KernelRandom;
use crate::services::{Services, Surroundings};
use crate::store::Store;

/// The key that secrets and access keys are sealed with, in the state directory.
const KEY_FILE: &str = "secret.key";

/// What is there before the tasks' core is.
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The secrets in it.
    pub secrets: SecretStore,
    /// The access keys in it.
    pub credentials: Credentials,
}

impl Parts {
    /// Opens what is in the state directory.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence for a person.
    pub fn open(state: &Path, database: &Path) -> anyhow::Result<Self> {
        let store = Store::open(database)?;
        let seal = Arc::new(Seal::open(&state.join(KEY_FILE))?);
        let credentials = Credentials::open(store.clone(), seal.clone());
        Ok(Self {
            secrets: SecretStore::new(store.clone(), seal),
            credentials: credentials.context("cannot use the access keys")?,
            store,
        })
    }

    /// The calls on this core, and the services that they keep. `paths` are the host's files that definitions may name.
    ///
    /// # Errors
    /// Where the store cannot be read or written.
    pub fn serve(
        &self,
        core: &Arc<Core>,
        logs: Logs,
        sessions: Arc<dyn CommandSessions>,
        journal: Journal,
        paths: HostPaths,
    ) -> anyhow::Result<(Aws, Services)> {
        let tasks: Arc<dyn TaskCore> = Arc::new(CoreTasks(core.clone()));
        let services = Services::new(Surroundings {
            tasks: Arc::new(ServiceTasks::new(tasks.clone(), self.store.clone(), paths.clone())),
            records: Arc::new(self.store.clone()),
            journal,
            now_ms: clock::wall_ms,
            random: || Box::new(KernelRandom),
        });
        let catalogue = Catalogue::new(self.store.clone());
        let operations = Arc::new(CatalogueServices::new(services.clone(), catalogue));
        let ecs = Ecs::new(self.store.clone(), tasks, sessions, operations, paths)?;
        ecs.remove_deleted_definitions()?;
        let logs = CloudWatch::new(logs, DEFAULT_REGION.to_owned());
        Ok((Aws::new(ecs, logs), services))
    }

    /// `router`, for who signs requests with one of the access keys.
    pub fn guarded(&self, router: Router) -> Router {
        let gate = Gate::new(self.credentials.clone());
        router.layer(middleware::from_fn_with_state(gate, guard))
    }
}

/// The tasks' core, as the operations see it.
struct CoreTasks(Arc<Core>);

impl TaskCore for CoreTasks {
    fn submit(&self, tasks: Vec<NewTask>) -> BoxFuture<'_, Result<Vec<TaskRecord>, CoreError>> {
        let records = self.0.submit(tasks);
        let records = records.map(|records| records.iter().map(|record| record.as_ref().clone()).collect());
        futures_util::future::ready(records).boxed()
    }

    fn stop<'a>(&'a self, id: &'a str, stop: StopTask) -> BoxFuture<'a, Result<TaskRecord, CoreError>> {
        async move { Ok(self.0.stop(id, stop).await?.as_ref().clone()) }.boxed()
    }
}

/// No commands are executed: for a host agent without a data channel.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSessions;

impl CommandSessions for NoSessions {
    fn open<'a>(&'a self, _: &'a TaskRecord, _: usize, _: Vec<String>) -> BoxFuture<'a, Result<Session, EcsError>> {
        let message = "This host agent was started without a listener that a session could be reached at: start it with --listen.";
        async move { Err(EcsError::new(ErrorKind::TargetNotConnected, message)) }.boxed()
    }
}
