//! What containers use, in the form of the Docker Engine's statistics, which Amazon ECS's endpoint passes on.

use api::calendar::rfc3339;
use protocol::guest::Usage;
use serde_json::{Map, Value, json};

use crate::record::{ContainerPlan, ContainerRecord, TaskRecord};

/// When a reading was made, and what it is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// When the task's guest could first run, in the same.
    pub started_ms: u64,
}

/// The statistics of all containers of a task, by `runtimeId`; of one that does not run, nothing.
pub fn task(record: &TaskRecord, readings: &[Usage], moment: Moment) -> Value {
    let containers = record.containers.iter().zip(&record.plan.containers);
    let containers = containers.map(|(state, plan)| {
        let reading = readings.iter().find(|reading| reading.container == plan.name);
        let statistics = reading.map_or(Value::Null, |reading| statistics(record, state, plan, reading, moment));
        (state.runtime_id.clone(), statistics)
    });
    Value::Object(containers.collect::<Map<_, _>>())
}

/// The statistics of the container with this index.
pub fn container(record: &TaskRecord, index: usize, readings: &[Usage], moment: Moment) -> Option<Value> {
    let (plan, state) = (record.plan.containers.get(index)?, record.containers.get(index)?);
    let reading = readings.iter().find(|reading| reading.container == plan.name)?;
    Some(statistics(record, state, plan, reading, moment))
}

fn statistics(
    record: &TaskRecord,
    state: &ContainerRecord,
    plan: &ContainerPlan,
    reading: &Usage,
    moment: Moment,
) -> Value {
    let vcpus = u64::from(record.plan.vcpu_milli.div_ceil(1000)).max(1);
    let lived_ms = moment.now_ms.saturating_sub(moment.started_ms);
    let memory_mib = plan.memory_mib.unwrap_or(record.plan.memory_mib);
    let seconds = (lived_ms / 1000).max(1);
    json!({
        "read": rfc3339(moment.now_ms),
        // There is no earlier reading: what is told of is the time since the start.
        "preread": rfc3339(moment.started_ms),
        "id": state.runtime_id,
        "name": plan.name,
        "num_procs": 0,
        "pids_stats": { "current": reading.pids },
        "cpu_stats": cpu(reading.cpu_user_us, reading.cpu_system_us, lived_ms * 1_000_000 * vcpus, vcpus),
        "precpu_stats": cpu(0, 0, 0, vcpus),
        "memory_stats": {
            "usage": reading.memory_bytes,
            "max_usage": reading.memory_peak_bytes,
            "limit": u64::from(memory_mib) << 20,
            "stats": {
                "inactive_file": reading.memory_inactive_file_bytes,
                "total_inactive_file": reading.memory_inactive_file_bytes,
            },
        },
        "blkio_stats": {
            "io_service_bytes_recursive": [
                { "major": 0, "minor": 0, "op": "Read", "value": reading.read_bytes },
                { "major": 0, "minor": 0, "op": "Write", "value": reading.written_bytes },
            ],
        },
        "storage_stats": {},
        "networks": {
            "eth0": {
                "rx_bytes": reading.network_received_bytes,
                "rx_packets": reading.network_received_packets,
                "rx_errors": 0,
                "rx_dropped": 0,
                "tx_bytes": reading.network_sent_bytes,
                "tx_packets": reading.network_sent_packets,
                "tx_errors": 0,
                "tx_dropped": 0,
            },
        },
        "network_rate_stats": {
            "rx_bytes_per_sec": reading.network_received_bytes / seconds,
            "tx_bytes_per_sec": reading.network_sent_bytes / seconds,
        },
    })
}

/// `all_us` is user and kernel together.
fn cpu(all_us: u64, kernel_us: u64, system_ns: u64, vcpus: u64) -> Value {
    json!({
        "cpu_usage": {
            "total_usage": all_us * 1000,
            "usage_in_kernelmode": kernel_us * 1000,
            "usage_in_usermode": all_us.saturating_sub(kernel_us) * 1000,
        },
        "system_cpu_usage": system_ns,
        "online_cpus": vcpus,
        "throttling_data": { "periods": 0, "throttled_periods": 0, "throttled_time": 0 },
    })
}
