//! A task of one container, as the API of our own asks for it.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use api::task::{self, NetworkMode, Rates, RunRequest, TransportProtocol};
use protocol::vmm::Limits;

use super::{Core, NewTask};
use crate::host::SCRATCH_MIB;
use crate::host_paths;
use crate::record::{
    ContainerPlan, HealthCheck, Logging, MountPlan, NetworkPlan, Plan, PortPlan, PullPolicy, RestartPolicy, Secret,
    SecretSource, TaskRecord, VolumePlan,
};
use crate::spec::CONTAINER;

/// The definition of tasks that were not made from one.
pub const RUN_DEFINITION: &str = "mote-run:0";

/// The group of such tasks.
const GROUP: &str = "family:mote-run";

/// The cluster of such tasks.
const CLUSTER: &str = "default";

/// A health check's interval, timeout and retries where nobody says others, as Docker has them.
const INTERVAL_SECONDS: u32 = 30;
const TIMEOUT_SECONDS: u32 = 30;
const RETRIES: u32 = 3;

impl Core {
    /// Creates a task, which holds nothing until it is started.
    ///
    /// # Errors
    /// Everything that can be known now to keep it from running.
    pub async fn create(self: &Arc<Self>, request: &RunRequest) -> Result<Arc<TaskRecord>, ApiError> {
        let allowed = &self.shared.config.host_paths;
        let mut task = new_task(request, self.shared.networks.is_some(), allowed)?;
        let mut found = None;
        if request.pull == task::PullPolicy::Never {
            let image = self.images().find(&request.image).await?;
            task.plan.containers[0].image.clone_from(&image.name);
            crate::spec::check_resolved(&task.plan, &image)?;
            if request.secrets.is_empty() && request.host_volumes.is_empty() {
                found = Some(vec![image]);
            }
        }
        let mut created = self.submit_found(vec![(task, found)]).map_err(ApiError::from)?;
        created.pop().ok_or_else(|| ApiError {
            code: ErrorCode::Internal,
            message: "no task was made".to_owned(),
        })
    }
}

/// The task that `request` means, on a host that has a network or has none, and of which tasks may see the directories `allowed`.
///
/// # Errors
/// [`ErrorCode::InvalidParameter`] for what contradicts itself.
pub fn new_task(request: &RunRequest, has_network: bool, allowed: &[PathBuf]) -> Result<NewTask, ApiError> {
    let volumes = volumes(request, allowed)?;
    let plan = Plan {
        vcpu_milli: request.vcpu_milli,
        memory_mib: request.memory_mib,
        scratch_mib: request.ephemeral_storage_mib.unwrap_or(SCRATCH_MIB),
        scratch_inodes: request.ephemeral_storage_inodes,
        limits: limits(request.rates)?,
        hostname: request.hostname.clone(),
        waits_for_vcpus: request.waits_for_vcpus,
        time_limit_seconds: request.timeout_seconds,
        can_execute: true,
        network: network(request, has_network)?,
        sysctls: request.sysctls.clone().into_iter().collect(),
        volumes: volumes.iter().map(|(volume, _)| volume.clone()).collect(),
        containers: vec![container(request, &volumes)?],
    };
    Ok(NewTask {
        cluster: CLUSTER.to_owned(),
        name: request.name.clone(),
        definition: RUN_DEFINITION.to_owned(),
        group: GROUP.to_owned(),
        started_by: None,
        service: None,
        tags: vec![],
        echoed: serde_json::Map::new(),
        plan,
        is_removed_when_stopped: request.remove,
        waits_for_start: true,
    })
}

fn container(request: &RunRequest, volumes: &[(VolumePlan, MountPlan)]) -> Result<ContainerPlan, ApiError> {
    Ok(ContainerPlan {
        name: CONTAINER.to_owned(),
        image: request.image.clone(),
        pull: match request.pull {
            task::PullPolicy::Never => PullPolicy::Never,
            task::PullPolicy::Missing => PullPolicy::Missing,
            task::PullPolicy::Always => PullPolicy::Always,
        },
        is_essential: true,
        entrypoint: request.entrypoint.clone(),
        command: Some(request.command.clone()).filter(|command| !command.is_empty()),
        env: request.env.clone(),
        secrets: request.secrets.iter().map(secret).collect(),
        working_directory: request.working_directory.clone(),
        user: request.user.clone(),
        terminal: request.terminal.map(|size| (size.columns, size.rows)),
        stdin: request.stdin,
        cpu_units: 0,
        memory_mib: None,
        memory_reservation_mib: None,
        depends_on: vec![],
        start_timeout_seconds: None,
        stop_timeout_seconds: request.stop_timeout_seconds,
        health_check: health_check(request.health_check.as_ref())?,
        restart: request.restart.as_ref().map(|restart| RestartPolicy {
            ignored_exit_codes: restart.ignored_exit_codes.clone(),
            attempt_period_seconds: restart.attempt_period_seconds,
        }),
        ulimits: request
            .ulimits
            .iter()
            .map(|ulimit| (ulimit.name.clone(), ulimit.soft, ulimit.hard))
            .collect(),
        pids_max: pids_max(request.pids_max)?,
        capabilities_added: request.capabilities_added.clone(),
        capabilities_dropped: request.capabilities_dropped.clone(),
        no_new_privileges: request.no_new_privileges,
        is_read_only: request.read_only,
        has_init_process: request.init,
        shared_memory_mib: request.shared_memory_mib,
        mounts: mounts(request, volumes),
        hosts: request
            .hosts
            .iter()
            .map(|host| (host.address, host.name.clone()))
            .collect(),
        labels: request.labels.clone().into_iter().collect(),
        logging: Logging {
            group: request.log_group.clone(),
            stream_prefix: request.log_stream_prefix.clone(),
        },
    })
}

/// Nothing can be done at a rate of zero, and the task would never end.
fn limits(rates: Rates) -> Result<Limits, ApiError> {
    let rate = |of: &str, rate: Option<u64>| match rate.map(NonZeroU64::new) {
        Some(None) => invalid(&format!("the limit on {of} is zero: leave it out for no limit")),
        Some(rate) => Ok(rate),
        None => Ok(None),
    };
    Ok(Limits {
        disk_bytes: rate("the bytes of its disk in a second", rates.disk_bytes_per_second)?,
        disk_operations: rate("the requests to its disk in a second", rates.disk_operations_per_second)?,
        network_bytes: rate("the bytes of its network in a second", rates.network_bytes_per_second)?,
    })
}

/// A container without any process is none.
fn pids_max(asked: Option<u32>) -> Result<Option<u32>, ApiError> {
    match asked {
        Some(0) => invalid("a container needs at least one process"),
        other => Ok(other),
    }
}

fn secret(variable: &task::SecretVariable) -> Secret {
    Secret {
        name: Some(variable.variable.clone()),
        source: SecretSource::Stored {
            name: variable.secret.clone(),
            key: variable.key.clone(),
        },
    }
}

/// The volumes, empty ones and directories of the host, and where they are mounted.
fn volumes(request: &RunRequest, allowed: &[PathBuf]) -> Result<Vec<(VolumePlan, MountPlan)>, ApiError> {
    let empty = request.volumes.iter().map(|path| (None, path, false));
    let directories = request.host_volumes.iter();
    let directories = directories.map(|volume| (Some(&volume.host_path), &volume.path, volume.read_only));
    let volumes = empty.chain(directories).enumerate();
    let volume = |(index, (host_path, path, is_read_only)): (usize, (Option<&String>, &String, bool))| {
        if let Some(Err(error)) = host_path.map(|path| host_paths::allowing(allowed, path)) {
            return invalid(&format!("the volume {error}"));
        }
        let name = format!("volume-{index}");
        let mount = MountPlan::Volume {
            volume: name.clone(),
            path: path.clone(),
            is_read_only,
        };
        let host_path = host_path.cloned();
        Ok((VolumePlan { name, host_path }, mount))
    };
    volumes.map(volume).collect()
}

fn mounts(request: &RunRequest, volumes: &[(VolumePlan, MountPlan)]) -> Vec<MountPlan> {
    let volumes = volumes.iter().map(|(_, mount)| mount.clone());
    let tmpfs = request.tmpfs.iter().map(|tmpfs| MountPlan::Tmpfs {
        path: tmpfs.path.clone(),
        size_mib: tmpfs.size_mib.unwrap_or(request.memory_mib / 2),
        options: tmpfs.options.clone(),
    });
    volumes.chain(tmpfs).collect()
}

fn network(request: &RunRequest, has_network: bool) -> Result<Option<NetworkPlan>, ApiError> {
    let wants_more = !request.ports.is_empty() || !request.name_servers.is_empty();
    let network = match &request.network {
        NetworkMode::Named(name) if name != api::network::DEFAULT => Some(name.clone()),
        _ => None,
    };
    match request.network {
        NetworkMode::None if wants_more => invalid("a task without a network has no ports and no name servers"),
        NetworkMode::None => Ok(None),
        NetworkMode::Default | NetworkMode::Named(_) if !has_network && (wants_more || network.is_some()) => {
            invalid("this host agent was started without a network, so nothing can be published or shared")
        }
        NetworkMode::Default | NetworkMode::Named(_) => Ok(Some(NetworkPlan {
            network,
            ports: request
                .ports
                .iter()
                .map(|port| PortPlan {
                    container: CONTAINER.to_owned(),
                    host_address: port.host_address,
                    host_port: port.host_port,
                    port: port.port,
                    is_udp: port.protocol == TransportProtocol::Udp,
                })
                .collect(),
            name_servers: request.name_servers.clone(),
        })),
    }
}

fn health_check(check: Option<&task::HealthCheck>) -> Result<Option<HealthCheck>, ApiError> {
    let Some(check) = check else { return Ok(None) };
    let command = match check.command.as_deref() {
        None => return Ok(None),
        Some([none]) if none == "NONE" => return Ok(None),
        Some([kind, line]) if kind == "CMD-SHELL" => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
        Some([kind, command @ ..]) if kind == "CMD" && !command.is_empty() => command.to_vec(),
        Some(_) => {
            return invalid("a health check's command must be CMD and a program, CMD-SHELL and one line, or NONE");
        }
    };
    Ok(Some(HealthCheck {
        command,
        interval_seconds: check.interval_seconds.unwrap_or(INTERVAL_SECONDS).max(1),
        timeout_seconds: check.timeout_seconds.unwrap_or(TIMEOUT_SECONDS).max(1),
        retries: check.retries.unwrap_or(RETRIES).max(1),
        start_period_seconds: check.start_period_seconds.unwrap_or_default(),
    }))
}

fn invalid<T>(message: &str) -> Result<T, ApiError> {
    Err(ApiError {
        code: ErrorCode::InvalidParameter,
        message: message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::task::HostVolume;

    #[test]
    fn a_rate_is_some_number_or_none() {
        let asked = |rates| RunRequest {
            rates,
            ..RunRequest::new("app".to_owned(), 1000, 64)
        };
        let limits_of = |rates| new_task(&asked(rates), false, &[]).map(|task| task.plan.limits);
        assert_eq!(limits_of(Rates::default()).unwrap(), Limits::default());
        let rates = Rates {
            disk_bytes_per_second: Some(1 << 20),
            disk_operations_per_second: Some(100),
            network_bytes_per_second: Some(u64::MAX),
        };
        let limits = limits_of(rates).unwrap();
        assert_eq!(limits.disk_bytes, NonZeroU64::new(1 << 20));
        assert_eq!(limits.disk_operations, NonZeroU64::new(100));
        assert_eq!(limits.network_bytes, Some(NonZeroU64::MAX));
        let rates = Rates {
            disk_operations_per_second: Some(0),
            ..Rates::default()
        };
        let message = limits_of(rates).unwrap_err().message;
        assert_eq!(
            message,
            "the limit on the requests to its disk in a second is zero: leave it out for no limit"
        );
    }

    #[test]
    fn a_directory_of_the_host_is_a_volume_where_that_is_allowed() {
        let request = RunRequest {
            volumes: vec!["/empty".to_owned()],
            host_volumes: vec![HostVolume {
                host_path: "/srv/data".to_owned(),
                path: "/data".to_owned(),
                read_only: true,
            }],
            ..RunRequest::default()
        };
        let plan = new_task(&request, false, &[PathBuf::from("/srv")]).unwrap().plan;
        let paths: Vec<_> = plan.volumes.iter().map(|volume| volume.host_path.as_deref()).collect();
        assert_eq!(paths, [None, Some("/srv/data")]);
        let mount = MountPlan::Volume {
            volume: plan.volumes[1].name.clone(),
            path: "/data".to_owned(),
            is_read_only: true,
        };
        assert_eq!(plan.containers[0].mounts[1], mount);
        let message = new_task(&request, false, &[]).map(drop).unwrap_err().message;
        assert_eq!(
            message,
            "the volume names /srv/data, which is in no directory that this host agent was allowed to use: start it with --allow-host-path"
        );
    }
}
