//! How things stand on this host: read from the tasks' core and the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use api::stats::TaskStats;
use api::system::Capacity;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream;
use protocol::guest::Usage;

use super::process;
use super::readings::{ContainerReading, Readings, Source, TaskReading};
use crate::core::Core;
use crate::events::tasks::status_name;
use crate::record::TaskRecord;
use crate::services::Services;
use crate::services::service::ServiceStatus;
use crate::stats;

/// So many guests are asked what their containers use; of more tasks, only what the host sees is told.
const GUESTS_MAX: usize = 128;

/// So many guests are asked at a time.
const GUESTS_AT_A_TIME: usize = 16;

/// How long a guest may take to answer.
const GUEST_PATIENCE: Duration = Duration::from_secs(1);

/// This host.
pub struct Host {
    /// The tasks.
    pub core: Arc<Core>,
    /// The services, where there are any.
    pub services: Option<Services>,
}

impl Source for Host {
    fn read(&self) -> BoxFuture<'_, Readings> {
        async move {
            let (total, taken) = self.core.capacity();
            let images = self.core.images().list().await.ok().map(|images| {
                let bytes = images.iter().map(|image| image.size_bytes).sum();
                (u64::try_from(images.len()).unwrap_or(u64::MAX), bytes)
            });
            Readings {
                tasks: self.tasks(),
                services: self.services(),
                images,
                pool: Some(self.core.pool().status()),
                capacity: Some(Capacity {
                    vcpu_milli: total.vcpu_milli,
                    vcpu_milli_taken: taken.vcpu_milli,
                    memory_mib: total.memory_mib,
                    memory_mib_taken: taken.memory_mib,
                }),
                uses: self.uses().await,
                process: process::read(),
                version: env!("CARGO_PKG_VERSION"),
            }
        }
        .boxed()
    }

    fn problems(&self) -> BoxFuture<'_, Vec<String>> {
        async move {
            self.core
                .check_host()
                .err()
                .map(|error| error.message)
                .into_iter()
                .collect()
        }
        .boxed()
    }
}

impl Host {
    fn tasks(&self) -> BTreeMap<&'static str, u64> {
        let mut tasks = BTreeMap::new();
        for record in self.core.list() {
            *tasks.entry(status_name(record.status)).or_default() += 1;
        }
        tasks
    }

    fn services(&self) -> BTreeMap<&'static str, u64> {
        let mut services = BTreeMap::new();
        for service in self.services.iter().flat_map(|services| services.list(None)) {
            let status = match service.status {
                ServiceStatus::Active => "active",
                ServiceStatus::Draining => "draining",
                ServiceStatus::Inactive => "inactive",
            };
            *services.entry(status).or_default() += 1;
        }
        services
    }

    async fn uses(&self) -> Vec<TaskReading> {
        let stats = match stats::all(&self.core).await {
            Ok(stats) => stats,
            Err(error) => {
                tracing::warn!(error = error.message, "cannot tell what tasks use");
                return Vec::new();
            }
        };
        let asks_guests = stats.len() <= GUESTS_MAX;
        let reading = |stats| async move { self.reading(stats, asks_guests).await };
        stream::iter(stats.into_iter().map(reading))
            .buffered(GUESTS_AT_A_TIME)
            .collect()
            .await
    }

    async fn reading(&self, stats: TaskStats, asks_guest: bool) -> TaskReading {
        let record = self.core.find(&stats.id).ok();
        let family = record.as_ref().map_or("", |record| family(record)).to_owned();
        let network = record.as_ref().and_then(|record| carried(record));
        let containers = if asks_guest {
            self.containers(&stats.id).await
        } else {
            Vec::new()
        };
        TaskReading {
            family,
            cpu_us: stats.cpu.used_us,
            throttled_us: stats.cpu.throttled_us,
            memory_bytes: stats.memory.total.proportional_bytes,
            disk_bytes: stats.scratch_bytes,
            network,
            containers,
            id: stats.id,
        }
    }

    async fn containers(&self, task: &str) -> Vec<ContainerReading> {
        match tokio::time::timeout(GUEST_PATIENCE, self.core.measure(task)).await {
            Ok(Ok(usages)) => usages.into_iter().map(container).collect(),
            // Its guest does not answer yet, or no more.
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }
}

fn container(usage: Usage) -> ContainerReading {
    ContainerReading {
        name: usage.container,
        cpu_us: usage.cpu_user_us.saturating_add(usage.cpu_system_us),
        memory_bytes: usage.memory_bytes,
        read_bytes: usage.read_bytes,
        written_bytes: usage.written_bytes,
    }
}

/// The family of a task's definition.
fn family(record: &TaskRecord) -> &str {
    record.definition.split(':').next().unwrap_or_default()
}

/// Bytes that a task received and sent, as its interface on the host counts them: what that sends, the guest receives.
fn carried(record: &TaskRecord) -> Option<(u64, u64)> {
    let tap = &record.network.as_ref()?.tap;
    let count = |name: &str| {
        let text = fs::read_to_string(format!("/sys/class/net/{tap}/statistics/{name}")).ok()?;
        text.trim().parse().ok()
    };
    Some((count("tx_bytes")?, count("rx_bytes")?))
}
