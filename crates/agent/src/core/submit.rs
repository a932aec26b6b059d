//! New tasks: checked, named, stored, and only then acknowledged.

use std::sync::Arc;

use api::error::{ApiError, ErrorCode};
use serde_json::Value;

use super::{Core, CoreError, First, NewTask, Newborn, Resource};
use crate::capacity::Shortage;
use crate::clock;
use crate::host::{self, Kept};
use crate::images::RunnableImage;
use crate::launch::CgroupError;
use crate::lifecycle::{self, Event, Rules, State};
use crate::names;
use crate::record::{ContainerRecord, ContainerStatus, Health, TaskRecord, Times};
use crate::sentence::sentence;
use crate::sizing::{SizeError, Sizing};
use crate::spec;
use api::task::{ClockPoints, Status};

/// Digits at the end of a `runtimeId`.
const RUNTIME_DIGITS: u64 = 10_000_000_000;

impl Core {
    /// Accepts all of these tasks or none. They are stored when this returns, and on their way unless they wait to be started.
    ///
    /// # Errors
    /// Everything that can be known now to keep one from running.
    pub fn submit(self: &Arc<Self>, tasks: Vec<NewTask>) -> Result<Vec<Arc<TaskRecord>>, CoreError> {
        self.submit_found(tasks.into_iter().map(|task| (task, None)).collect())
    }

    /// As [`Self::submit`], of tasks whose images may be known.
    pub(super) fn submit_found(
        self: &Arc<Self>,
        tasks: Vec<(NewTask, Option<Vec<RunnableImage>>)>,
    ) -> Result<Vec<Arc<TaskRecord>>, CoreError> {
        let accepted_ns = clock::monotonic_ns();
        self.check_host()?;
        let sizings = tasks
            .iter()
            .map(|(task, _)| self.check(task))
            .collect::<Result<Vec<_>, _>>()?;
        let mut newborn: Vec<Newborn> = Vec::with_capacity(tasks.len());
        let mut failed = None;
        for ((task, found), sizing) in tasks.into_iter().zip(sizings) {
            match self.make(task, accepted_ns) {
                Ok((record, kept, first)) => newborn.push(Newborn {
                    record,
                    kept,
                    sizing,
                    found,
                    first,
                }),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        if failed.is_none() {
            let records: Vec<&TaskRecord> = newborn.iter().map(|newborn| &newborn.record).collect();
            failed = self.records.put(&records).err().map(|error| ApiError {
                code: ErrorCode::HostUnable,
                message: format!("the task cannot be stored: {}", sentence(&*error)),
            });
        }
        if let Some(error) = failed {
            self.tasks.unname(newborn.iter().map(|newborn| &newborn.record.name));
            return Err(error.into());
        }
        let begin = |newborn| {
            let record = self.begin(newborn).now();
            tracing::debug!(task = record.id, name = record.name, "created");
            // Nobody may listen.
            let _ = self.changes.send(record.clone());
            record
        };
        Ok(newborn.into_iter().map(begin).collect())
    }

    /// Checks that the host has what every task needs.
    ///
    /// # Errors
    /// [`ErrorCode::HostUnable`] with what is missing.
    pub fn check_host(&self) -> Result<(), ApiError> {
        // A template has all that is in these files.
        if self.shared.templates.ready().is_none() {
            self.shared.config.check_files()?;
        }
        let unable = |error: CgroupError| ApiError {
            code: ErrorCode::HostUnable,
            message: sentence(&error),
        };
        self.shared.cgroups.check().map_err(unable)
    }

    fn check(&self, task: &NewTask) -> Result<Sizing, CoreError> {
        if let Some(name) = &task.name {
            names::check(name)?;
        }
        let invalid = |error: SizeError| ApiError {
            code: ErrorCode::InvalidParameter,
            message: error.to_string(),
        };
        let (sizing, need) = host::need(&task.plan).map_err(invalid)?;
        spec::check(&task.plan)?;
        if let (Some(networks), Some(network)) = (&self.shared.networks, &task.plan.network) {
            networks.check(network)?;
        }
        self.shared.rooms.fits_ever(need).map_err(|(shortage, total)| {
            let (resource, message) = match shortage {
                Shortage::Cpu => (
                    Resource::Cpu,
                    format!(
                        "the task needs {} thousandths of a vCPU, and this host gives no more than {} to all tasks together",
                        need.vcpu_milli, total.vcpu_milli
                    ),
                ),
                Shortage::Memory => (
                    Resource::Memory,
                    format!(
                        "the task's microVM needs {} MiB of memory, and this host has no more than {} MiB for all tasks together",
                        need.memory_mib, total.memory_mib
                    ),
                ),
            };
            CoreError::NeverFits { resource, message }
        })?;
        Ok(sizing)
    }

    /// The record of a task that is accepted now; its name is kept.
    fn make(&self, mut task: NewTask, accepted_ns: u64) -> Result<(TaskRecord, Kept, First), ApiError> {
        // Where there is no network, a task that publishes nothing runs without.
        let has_network = self.shared.networks.is_some();
        task.plan
            .network
            .take_if(|network| !has_network && network.ports.is_empty());
        let rules = Rules::of(&task.plan);
        let state = State::new(&rules);
        let id = names::id(random()?);
        let containers = task
            .plan
            .containers
            .iter()
            .map(|_| container(&id))
            .collect::<Result<Vec<_>, _>>()?;
        let name = self.tasks.name(&id, task.name.as_deref(), random()?)?;
        let kept = Kept {
            state,
            boot_id: self.shared.boot_id.clone(),
            microvm: None,
            network: None,
            stop_signals: vec![],
            timers: vec![],
        };
        let first = if task.waits_for_start {
            First::Waiting
        } else {
            First::Event(Event::StartRequested)
        };
        let record = TaskRecord {
            id,
            cluster: task.cluster,
            name,
            definition: task.definition,
            group: task.group,
            started_by: task.started_by,
            service: task.service,
            tags: task.tags,
            echoed: task.echoed,
            plan: task.plan,
            is_removed_when_stopped: task.is_removed_when_stopped,
            is_wanted: true,
            status: Status::Provisioning,
            version: 1,
            times: Times {
                created_ms: clock::wall_ms(),
                ..Times::default()
            },
            stop: None,
            clock: ClockPoints {
                accepted_ns: Some(accepted_ns),
                ..ClockPoints::default()
            },
            origin: None,
            network: None,
            containers,
            used: None,
            core: as_stored(&rules, &kept, &first),
        };
        Ok((record, kept, first))
    }
}

/// What is stored of a task before it is acknowledged: where it is after its first event. Nothing of that is done yet, but it was promised.
fn as_stored(rules: &Rules, kept: &Kept, first: &First) -> Value {
    let mut kept = kept.clone();
    if let First::Event(event) = first {
        kept.state = lifecycle::next(rules, kept.state, event.clone()).0;
    }
    // The life cycle's state always has a JSON form.
    serde_json::to_value(&kept).unwrap_or_default()
}

fn container(task: &str) -> Result<ContainerRecord, ApiError> {
    let random: [u8; 24] = random()?;
    let (uuid, digits) = random.split_at(16);
    let digits = digits
        .iter()
        .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    Ok(ContainerRecord {
        id: names::uuid(uuid),
        runtime_id: format!("{task}-{:010}", digits % RUNTIME_DIGITS),
        image_digest: None,
        command: vec![],
        status: ContainerStatus::Pending,
        health: Health::Unknown,
        exit: None,
        reason: None,
        restarts: 0,
        started_ms: None,
        finished_ms: None,
    })
}

fn random<const LEN: usize>() -> Result<[u8; LEN], ApiError> {
    let mut bytes = [0; LEN];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).map_err(|errno| ApiError {
        code: ErrorCode::Internal,
        message: format!("cannot get random bytes: {errno}"),
    })?;
    Ok(bytes)
}
