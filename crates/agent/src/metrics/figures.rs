//! How things stand, as metrics: made anew for every reader, so that what is gone leaves nothing behind.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

use super::labels::Labels;
use super::process::ProcessReading;
use super::readings::{ContainerReading, Readings, TASKS_MAX, TaskReading};

type Number = Gauge<f64, AtomicU64>;
type Sum = Counter<f64, AtomicU64>;

/// One metric of many tasks: its name, its help, and the figure.
struct Row<T> {
    name: &'static str,
    help: &'static str,
    figure: fn(&T) -> f64,
}

/// What grows as long as a task runs.
const TASK_SUMS: &[Row<TaskReading>] = &[
    Row {
        name: "task_cpu_seconds",
        help: "CPU time of a task's microVM",
        figure: |task| seconds(task.cpu_us),
    },
    Row {
        name: "task_cpu_throttled_seconds",
        help: "How long a task was kept waiting for its share of the CPU",
        figure: |task| seconds(task.throttled_us),
    },
];

/// What a task has now.
const TASK_NUMBERS: &[Row<TaskReading>] = &[
    Row {
        name: "task_memory_bytes",
        help: "Memory of a task's microVM: its own pages and its fair part of shared ones",
        figure: |task| number(task.memory_bytes),
    },
    Row {
        name: "task_disk_bytes",
        help: "What a task's writable layer takes on the host's disk",
        figure: |task| number(task.disk_bytes),
    },
];

/// What a task's network interface carried: bytes received, bytes sent.
const NETWORK_SUMS: &[Row<(u64, u64)>] = &[
    Row {
        name: "task_network_received_bytes",
        help: "Bytes that a task's network interface received",
        figure: |(received, _)| number(*received),
    },
    Row {
        name: "task_network_sent_bytes",
        help: "Bytes that a task's network interface sent",
        figure: |(_, sent)| number(*sent),
    },
];

const CONTAINER_SUMS: &[Row<ContainerReading>] = &[
    Row {
        name: "container_cpu_seconds",
        help: "CPU time of a container, as its guest sees it",
        figure: |container| seconds(container.cpu_us),
    },
    Row {
        name: "container_disk_read_bytes",
        help: "Bytes that a container read from disks",
        figure: |container| number(container.read_bytes),
    },
    Row {
        name: "container_disk_written_bytes",
        help: "Bytes that a container wrote to disks",
        figure: |container| number(container.written_bytes),
    },
];

const CONTAINER_NUMBERS: &[Row<ContainerReading>] = &[Row {
    name: "container_memory_bytes",
    help: "Memory of a container, as its guest sees it",
    figure: |container| number(container.memory_bytes),
}];

/// The metrics of how things stand.
pub fn registry(readings: &Readings) -> Registry {
    let mut registry = Registry::with_prefix("mote");
    host(&mut registry, readings);
    tasks(&mut registry, &readings.uses);
    if let Some(process) = &readings.process {
        own(&mut registry, process);
    }
    registry
}

fn host(registry: &mut Registry, readings: &Readings) {
    let build = Family::<Labels<1>, Number>::default();
    build
        .get_or_create(&Labels::new([("version", readings.version)]))
        .set(1.0);
    registry.register("build_info", "The host agent's version", build);
    by_status(
        registry,
        "tasks",
        "Tasks that are not forgotten, by status",
        &readings.tasks,
    );
    by_status(registry, "services", "Services, by status", &readings.services);
    if let Some((count, bytes)) = readings.images {
        gauge(registry, "images", "Images in the store", number(count));
        gauge(
            registry,
            "images_bytes",
            "What the images take on the disk",
            number(bytes),
        );
    }
    if let Some(pool) = &readings.pool {
        let (size, waiting) = (f64::from(pool.size), f64::from(pool.waiting));
        gauge(registry, "pool_size", "Clones that are to wait for a task", size);
        gauge(registry, "pool_waiting", "Clones that wait for a task", waiting);
    }
    if let Some(capacity) = readings.capacity {
        let vcpus = |milli: u64| number(milli) / 1000.0;
        let bytes = |mebibytes: u64| number(mebibytes) * 1_048_576.0;
        let rows = [
            ("capacity_vcpus", "vCPUs for tasks", vcpus(capacity.vcpu_milli)),
            (
                "capacity_vcpus_taken",
                "vCPUs that tasks have",
                vcpus(capacity.vcpu_milli_taken),
            ),
            ("capacity_memory_bytes", "Memory for tasks", bytes(capacity.memory_mib)),
            (
                "capacity_memory_taken_bytes",
                "Memory that tasks have",
                bytes(capacity.memory_mib_taken),
            ),
        ];
        for (name, help, value) in rows {
            gauge(registry, name, help, value);
        }
    }
}

fn tasks(registry: &mut Registry, uses: &[TaskReading]) {
    let omitted = uses.len().saturating_sub(TASKS_MAX);
    let shown = &uses[..uses.len() - omitted];
    gauge(
        registry,
        "tasks_omitted",
        "Tasks without figures of their own, because there are too many",
        number(u64::try_from(omitted).unwrap_or(u64::MAX)),
    );
    let of_task = |task: &TaskReading| Labels::new([("task_id", task.id.as_str()), ("family", task.family.as_str())]);
    for row in TASK_SUMS {
        sums(registry, row, shown.iter().map(|task| (of_task(task), task)));
    }
    for row in TASK_NUMBERS {
        numbers(registry, row, shown.iter().map(|task| (of_task(task), task)));
    }
    for row in NETWORK_SUMS {
        let carried = shown
            .iter()
            .filter_map(|task| Some((of_task(task), task.network.as_ref()?)));
        sums(registry, row, carried);
    }
    let containers = || {
        shown.iter().flat_map(|task| {
            task.containers.iter().map(|container| {
                let labels = [
                    ("task_id", task.id.as_str()),
                    ("container", container.name.as_str()),
                    ("family", task.family.as_str()),
                ];
                (Labels::new(labels), container)
            })
        })
    };
    for row in CONTAINER_SUMS {
        sums(registry, row, containers());
    }
    for row in CONTAINER_NUMBERS {
        numbers(registry, row, containers());
    }
}

/// The host agent's own process, by the names that Prometheus' clients have for these.
fn own(registry: &mut Registry, process: &ProcessReading) {
    let cpu = Sum::default();
    cpu.inc_by(process.cpu_seconds);
    registry.register("agent_cpu_seconds", "CPU time of the host agent", cpu);
    let rows = [
        (
            "agent_resident_memory_bytes",
            "Resident memory of the host agent",
            number(process.resident_bytes),
        ),
        (
            "agent_open_descriptors",
            "Descriptors that the host agent has open",
            number(process.open_descriptors),
        ),
        ("agent_threads", "Threads of the host agent", number(process.threads)),
        (
            "agent_start_time_seconds",
            "When the host agent was started, since the Unix epoch",
            process.started_seconds,
        ),
    ];
    for (name, help, value) in rows {
        gauge(registry, name, help, value);
    }
}

fn by_status(registry: &mut Registry, name: &str, help: &str, counts: &std::collections::BTreeMap<&'static str, u64>) {
    let family = Family::<Labels<1>, Number>::default();
    for (status, count) in counts {
        family
            .get_or_create(&Labels::new([("status", status)]))
            .set(number(*count));
    }
    registry.register(name, help, family);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Number::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn sums<'a, const COUNT: usize, T: 'a>(
    registry: &mut Registry,
    row: &Row<T>,
    items: impl Iterator<Item = (Labels<COUNT>, &'a T)>,
) {
    let family = Family::<Labels<COUNT>, Sum>::default();
    for (labels, item) in items {
        family.get_or_create(&labels).inc_by((row.figure)(item));
    }
    registry.register(row.name, row.help, family);
}

fn numbers<'a, const COUNT: usize, T: 'a>(
    registry: &mut Registry,
    row: &Row<T>,
    items: impl Iterator<Item = (Labels<COUNT>, &'a T)>,
) {
    let family = Family::<Labels<COUNT>, Number>::default();
    for (labels, item) in items {
        family.get_or_create(&labels).set((row.figure)(item));
    }
    registry.register(row.name, row.help, family);
}

fn seconds(microseconds: u64) -> f64 {
    number(microseconds) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a float, exact up to 2^53")]
const fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use api::system::Capacity;

    use super::*;
    use crate::metrics::Metrics;

    fn check(readings: &Readings, line: &str) {
        let text = Metrics::new().text(readings);
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }

    #[test]
    fn how_things_stand_is_told() {
        let readings = Readings {
            tasks: [("running", 2)].into(),
            capacity: Some(Capacity {
                vcpu_milli: 2500,
                memory_mib_taken: 2,
                ..Capacity::default()
            }),
            images: Some((3, 4096)),
            version: "0.1.0",
            ..Readings::default()
        };
        check(&readings, "mote_tasks{status=\"running\"} 2.0");
        check(&readings, "mote_capacity_vcpus 2.5");
        check(&readings, "mote_capacity_memory_taken_bytes 2097152.0");
        check(&readings, "mote_images_bytes 4096.0");
        check(&readings, "mote_build_info{version=\"0.1.0\"} 1.0");
    }

    #[test]
    fn a_tasks_figures_are_told_and_bounded() {
        let container = ContainerReading {
            name: "app".to_owned(),
            memory_bytes: 7,
            ..ContainerReading::default()
        };
        let task = |number: usize| TaskReading {
            id: format!("task-{number}"),
            family: "web".to_owned(),
            cpu_us: 1_500_000,
            network: Some((9, 4)),
            containers: vec![container.clone()],
            ..TaskReading::default()
        };
        let readings = Readings {
            uses: (0..TASKS_MAX + 5).map(task).collect(),
            ..Readings::default()
        };
        check(
            &readings,
            "mote_task_cpu_seconds_total{task_id=\"task-0\",family=\"web\"} 1.5",
        );
        check(
            &readings,
            "mote_task_network_received_bytes_total{task_id=\"task-0\",family=\"web\"} 9.0",
        );
        check(
            &readings,
            "mote_container_memory_bytes{task_id=\"task-0\",container=\"app\",family=\"web\"} 7.0",
        );
        check(&readings, "mote_tasks_omitted 5.0");
    }
}
