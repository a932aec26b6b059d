//! `mote system`: the host and its host agent.

use anyhow::Result;
use api::system::{KindUse, PruneRequest, Pruned, System};

use super::confirmation::is_confirmed;
use super::task_name::short_id;
use crate::args::{self, Listing, Prune};
use crate::value::{Format, VcpuMilli, rfc3339};
use crate::{host, output};

/// `mote system`.
pub async fn system(host: Option<String>, verb: args::System) -> Result<u8> {
    match verb {
        args::System::Info(listing) => info(host, listing).await,
        args::System::Df(listing) => disk_use(host, listing).await,
        args::System::Prune(arguments) => prune(host, arguments).await,
    }
}

async fn info(host: Option<String>, listing: Listing) -> Result<u8> {
    let system = host::connect(host).await?.system().await?;
    match &listing.format {
        Format::Table => output::pairs(&lines(&system))?,
        other => output::document(other, &system)?,
    }
    Ok(0)
}

fn lines(system: &System) -> Vec<(&'static str, String)> {
    let (host, capacity, counts) = (&system.host, &system.capacity, &system.counts);
    let milli = |milli: u64| VcpuMilli(u32::try_from(milli).unwrap_or(u32::MAX)).to_string();
    let mib = |mib: u64| output::memory(mib << 20);
    vec![
        ("version", system.version.clone()),
        ("since", rfc3339(system.started_unix_ms)),
        (
            "host",
            format!("{}, Linux {}, {}", host.name, host.kernel, host.architecture),
        ),
        ("size", format!("{} CPUs, {}", host.cpus, mib(host.memory_mib))),
        (
            "cpu",
            format!(
                "{} of {} vCPUs taken",
                milli(capacity.vcpu_milli_taken),
                milli(capacity.vcpu_milli)
            ),
        ),
        (
            "memory",
            format!(
                "{} of {} taken",
                mib(capacity.memory_mib_taken),
                mib(capacity.memory_mib)
            ),
        ),
        (
            "tasks",
            format!(
                "{} running, {} pending, {} stopping, {} stopped",
                counts.tasks_running, counts.tasks_pending, counts.tasks_stopping, counts.tasks_stopped
            ),
        ),
        ("images", counts.images.to_string()),
        ("clusters", counts.clusters.to_string()),
        ("services", counts.services.to_string()),
        ("definitions", counts.definitions.to_string()),
        ("state", system.directories.state.clone()),
        ("runtime", system.directories.runtime.clone()),
        ("images in", system.directories.images.clone()),
        ("listens at", system.listeners.join(", ")),
    ]
}

async fn disk_use(host: Option<String>, listing: Listing) -> Result<u8> {
    let kinds = host::connect(host).await?.disk_use().await?.kinds;
    let header = ["KIND", "COUNT", "ACTIVE", "SIZE", "RECLAIMABLE"];
    output::list(&listing.format, &kinds, &header, kind_row)?;
    Ok(0)
}

fn kind_row(kind: &KindUse) -> Vec<String> {
    vec![
        kind.kind.clone(),
        kind.count.to_string(),
        kind.active.to_string(),
        output::size(kind.size_bytes),
        output::size(kind.reclaimable_bytes),
    ]
}

async fn prune(host: Option<String>, arguments: Prune) -> Result<u8> {
    let images = if arguments.all {
        "all images that no task uses"
    } else {
        "all images without a name"
    };
    let what = format!("all stopped tasks with what they wrote, all networks that no task is in, and {images}");
    if !arguments.force && !is_confirmed(&what)? {
        return Ok(0);
    }
    let request = PruneRequest {
        tasks: true,
        images: true,
        all_images: arguments.all,
        networks: true,
        until_ms: arguments.until.map(|moment| moment.unix_ms),
    };
    let pruned = host::connect(host).await?.prune(&request).await?;
    match &arguments.listing.format {
        Format::Table => {
            for line in pruned_lines(&pruned) {
                output::line(&line)?;
            }
        }
        other => output::document(other, &pruned)?,
    }
    Ok(0)
}

fn pruned_lines(pruned: &Pruned) -> Vec<String> {
    let tasks = pruned.tasks.iter().map(|id| format!("task {}", short_id(id)));
    let images = pruned.images.iter().map(|name| format!("image {name}"));
    let networks = pruned.networks.iter().map(|name| format!("network {name}"));
    let freed = format!("freed {}", output::size(pruned.freed_bytes));
    tasks.chain(images).chain(networks).chain([freed]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_named() {
        let pruned = Pruned {
            tasks: vec!["3f2a".repeat(8)],
            images: vec!["app:1".into()],
            networks: vec!["front".into()],
            freed_bytes: 1_500_000,
        };
        assert_eq!(
            pruned_lines(&pruned),
            ["task 3f2a3f2a3f2a", "image app:1", "network front", "freed 1.5MB"]
        );
    }

    #[test]
    fn a_system_is_told_in_pairs() {
        let system = System {
            version: "1.2.3".into(),
            listeners: vec!["unix:///run/mote/mote.sock".into(), "tcp://127.0.0.1:7711".into()],
            ..System::default()
        };
        let lines = lines(&system);
        assert_eq!(lines[0], ("version", "1.2.3".to_owned()));
        let (_, listeners) = lines.last().unwrap();
        assert_eq!(listeners, "unix:///run/mote/mote.sock, tcp://127.0.0.1:7711");
    }

    #[test]
    fn a_kind_is_a_row() {
        let kind = KindUse {
            kind: "images".into(),
            count: 3,
            active: 1,
            size_bytes: 5_000_000,
            reclaimable_bytes: 0,
        };
        assert_eq!(kind_row(&kind), ["images", "3", "1", "5.0MB", "0B"]);
    }
}
