//! What is counted as it happens.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::task::{Origin, Status};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::figures;
use super::labels::Labels;
use super::readings::Readings;
use crate::record::TaskRecord;

/// The shortest time that a histogram tells from shorter ones, in seconds.
const BUCKET_SECONDS_MIN: f64 = 0.001;

/// So many buckets, each twice as wide as the one before: up to 33 seconds.
const BUCKETS: u16 = 16;

/// The most operations that requests are counted by; whatever comes beyond is counted together.
const OPERATIONS_MAX: usize = 256;

/// The operation of requests that are counted together.
const OTHER_OPERATION: &str = "other";

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Ok,
    /// By a refusal.
    Refused,
    /// By a failure of the host agent.
    Failed,
}

/// The counters of one host agent. Clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    clock_points: Family<Labels<2>, Histogram, fn() -> Histogram>,
    starts: Family<Labels<1>, Counter>,
    stops: Family<Labels<1>, Counter>,
    requests: Family<Labels<2>, Counter>,
    request_seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    // Shared by whoever tells of tasks and of requests; locked for moments.
    seen: Mutex<Seen>,
}

/// What was counted already, of what is told more than once.
#[derive(Debug, Default)]
struct Seen {
    tasks: HashMap<String, Counted>,
    operations: Vec<String>,
}

/// What was counted of a task that has not stopped.
#[derive(Debug, Default)]
struct Counted {
    points: [bool; 6],
    origin: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing happened yet.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("mote");
        let clock_points = Family::new_with_constructor(histogram as fn() -> Histogram);
        let request_seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        let (starts, stops, requests) = (Family::default(), Family::default(), Family::default());
        registry.register_with_unit(
            "task_clock_point",
            "Time from the acceptance of a task to each of its clock points, by where its microVM came from",
            Unit::Seconds,
            clock_points.clone(),
        );
        registry.register(
            "task_starts",
            "MicroVMs of tasks by where they came from: pool, clone (the pool had none), boot (no template, or cloning failed)",
            starts.clone(),
        );
        registry.register("task_stops", "Tasks that stopped, by ECS's stop code", stops.clone());
        registry.register("api_requests", "Requests by operation and result", requests.clone());
        registry.register_with_unit(
            "api_request",
            "Time that requests took, by operation",
            Unit::Seconds,
            request_seconds.clone(),
        );
        let inner = Inner {
            registry,
            clock_points,
            starts,
            stops,
            requests,
            request_seconds,
            seen: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Takes a task as it was found when the host agent started: what is told of it already is not counted.
    pub fn found(&self, record: &TaskRecord) {
        if record.status != Status::Stopped {
            let counted = Counted {
                points: record.clock.named().map(|(_, at_ns)| at_ns.is_some()),
                origin: record.origin.is_some(),
            };
            self.seen().tasks.insert(record.id.clone(), counted);
        }
    }

    /// Counts what is new of a task.
    pub fn changed(&self, record: &TaskRecord) {
        let mut seen = self.seen();
        let counted = seen.tasks.entry(record.id.clone()).or_default();
        let origin = record.origin.map_or("none", Origin::name);
        if record.origin.is_some() && !std::mem::replace(&mut counted.origin, true) {
            self.inner
                .starts
                .get_or_create(&Labels::new([("origin", origin)]))
                .inc();
        }
        let points = record.clock.named();
        let accepted_ns = points[0].1;
        for ((point, at_ns), counted) in points.iter().zip(&mut counted.points).skip(1) {
            let (Some(accepted_ns), Some(at_ns)) = (accepted_ns, at_ns) else {
                continue;
            };
            if !std::mem::replace(counted, true) {
                let labels = Labels::new([("point", point), ("origin", origin)]);
                let passed = Duration::from_nanos(at_ns.saturating_sub(accepted_ns));
                self.inner
                    .clock_points
                    .get_or_create(&labels)
                    .observe(passed.as_secs_f64());
            }
        }
        if record.status == Status::Stopped {
            seen.tasks.remove(&record.id);
            let code = record
                .stop
                .as_ref()
                .map_or("None".to_owned(), |stop| format!("{:?}", stop.code));
            self.inner
                .stops
                .get_or_create(&Labels::new([("stop_code", &code)]))
                .inc();
        }
    }

    /// Counts a request. Operations are to be names that are known, and not what a request says.
    pub fn request(&self, operation: &str, outcome: Outcome, took: Duration) {
        let operation = self.known(operation);
        let result = match outcome {
            Outcome::Ok => "ok",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        };
        let labels = Labels::new([("operation", operation.as_str()), ("result", result)]);
        self.inner.requests.get_or_create(&labels).inc();
        let labels = Labels::new([("operation", operation.as_str())]);
        self.inner
            .request_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// The operation, as long as there are not too many.
    fn known(&self, operation: &str) -> String {
        let mut seen = self.seen();
        if !seen.operations.iter().any(|known| known == operation) {
            if seen.operations.len() >= OPERATIONS_MAX {
                return OTHER_OPERATION.to_owned();
            }
            seen.operations.push(operation.to_owned());
        }
        operation.to_owned()
    }

    /// All figures, in the text format of `OpenMetrics`.
    #[must_use]
    pub fn text(&self, readings: &Readings) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, readings);
        text
    }

    fn write(&self, text: &mut String, readings: &Readings) -> std::fmt::Result {
        text::encode_registry(text, &self.inner.registry)?;
        text::encode_registry(text, &figures::registry(readings))?;
        text.write_str("# EOF\n")
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        // Nothing that holds the lock leaves a change half-done.
        self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(BUCKET_SECONDS_MIN, 2.0, BUCKETS))
}

#[cfg(test)]
mod tests {
    use api::task::ClockPoints;

    use super::*;
    use crate::record::{Stop, StopCode};
    use crate::services::view::tests::record;

    fn check(metrics: &Metrics, line: &str) {
        let text = metrics.text(&Readings::default());
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }

    #[test]
    fn each_clock_point_counts_once() {
        let metrics = Metrics::new();
        let mut task = record("PENDING");
        task.clock = ClockPoints {
            accepted_ns: Some(1_000_000_000),
            vcpu_runnable_ns: Some(1_003_000_000),
            ..ClockPoints::default()
        };
        task.origin = Some(Origin::Pool);
        metrics.changed(&task);
        metrics.changed(&task);
        task.clock.process_started_ns = Some(1_250_000_000);
        metrics.changed(&task);
        check(
            &metrics,
            "mote_task_clock_point_seconds_sum{point=\"vcpu-runnable\",origin=\"pool\"} 0.003",
        );
        check(
            &metrics,
            "mote_task_clock_point_seconds_count{point=\"process-started\",origin=\"pool\"} 1",
        );
        check(
            &metrics,
            "mote_task_clock_point_seconds_bucket{le=\"0.004\",point=\"vcpu-runnable\",origin=\"pool\"} 1",
        );
        check(&metrics, "mote_task_starts_total{origin=\"pool\"} 1");
    }

    #[test]
    fn a_task_that_was_found_is_not_counted_again() {
        let metrics = Metrics::new();
        let mut task = record("RUNNING");
        task.origin = Some(Origin::Boot);
        metrics.found(&task);
        metrics.changed(&task);
        assert!(!metrics.text(&Readings::default()).contains("mote_task_starts_total{"));
        task.status = Status::Stopped;
        let (code, reason) = (StopCode::EssentialContainerExited, String::new());
        task.stop = Some(Stop { code, reason });
        metrics.changed(&task);
        check(
            &metrics,
            "mote_task_stops_total{stop_code=\"EssentialContainerExited\"} 1",
        );
        assert!(metrics.seen().tasks.is_empty());
    }

    #[test]
    fn requests_are_counted_by_a_bounded_number_of_operations() {
        let metrics = Metrics::new();
        metrics.request("RunTask", Outcome::Ok, Duration::from_millis(3));
        metrics.request("RunTask", Outcome::Refused, Duration::from_millis(3));
        check(
            &metrics,
            "mote_api_requests_total{operation=\"RunTask\",result=\"refused\"} 1",
        );
        for number in 0..1000 {
            metrics.request(&number.to_string(), Outcome::Ok, Duration::ZERO);
        }
        let text = metrics.text(&Readings::default());
        assert!(text.contains("operation=\"other\""));
        let series = text
            .lines()
            .filter(|line| line.starts_with("mote_api_requests_total{"))
            .count();
        assert!(series <= OPERATIONS_MAX + 2, "{series}");
    }

    #[test]
    fn the_text_ends_as_openmetrics_wants() {
        let text = Metrics::new().text(&Readings::default());
        assert!(text.ends_with("# EOF\n"));
        assert_eq!(text.matches("# EOF").count(), 1);
    }
}
