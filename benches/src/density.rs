//! What one more idle container takes of the host's memory, among few and among many.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::attach::Frame;
use api::client::Client;

use crate::host::{Host, Installation, NO_POOL, request};
use crate::memory;
use crate::plot::{Axis, Curve, Curves};
use crate::report::{Figure, Outcome};

/// How many containers there are when memory is looked at.
const COUNTS: [u32; 7] = [1, 10, 25, 50, 100, 150, 200];

/// The counts that are told as figures; the others are points of the plot.
const TOLD: [u32; 4] = [1, 10, 100, 200];

/// What the containers do: say that they run, and nothing more.
const COMMAND: [&str; 3] = ["sh", "-c", "echo running; exec sleep 100000"];

/// The memory of each, in MiB.
const MEMORY_MIB: u32 = 64;

/// How long the last container has had for settling when memory is looked at: free pages are reported after two seconds.
const SETTLE: Duration = Duration::from_secs(8);

/// What one more container may take, in MiB.
const ALL_MIB_MAX: f64 = 12.0;

/// What of it may lie outside the guest's memory, in MiB.
const OUTSIDE_MIB_MAX: f64 = 3.0;

/// The memory for which it is computed how many fit, in MiB.
const HOST_MIB: f64 = 8192.0;

/// The memory in use at one count, in MiB.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// Guests' memory, by what `mote stats` tells.
    guests: f64,
    /// The rest of the VMMs' processes.
    vmms: f64,
    /// What the kernel holds for them.
    kernel: f64,
    /// The host agent's process.
    agent: f64,
    /// What is no longer available in the host.
    unavailable: f64,
}

impl Use {
    const fn all(&self) -> f64 {
        self.outside() + self.guests
    }

    const fn outside(&self) -> f64 {
        self.vmms + self.kernel + self.agent
    }
}

/// Adds containers up to each count and looks at memory.
pub fn measure() -> Result<Outcome> {
    let installation = Installation::from_environment()?;
    let host = Host::start(&installation, NO_POOL)?;
    host.prepare()?;
    let client = host.client();
    // One that comes and goes: what the host agent and the host's caches take once is no container's.
    host.mote(&["run", "--rm", "--memory", &MEMORY_MIB.to_string(), "busybox", "true"])?;
    std::thread::sleep(SETTLE);
    let available = memory::available_bytes()?;
    let mut uses = vec![(0, look(&host, &client, available)?)];
    let mut running = Vec::new();
    for count in COUNTS {
        for index in uses.last().map_or(0, |(count, _)| *count)..count {
            running.push(host.wait(start(&client, index))?);
        }
        std::thread::sleep(SETTLE);
        uses.push((count, look(&host, &client, available)?));
        eprintln!("mote-bench: {count} containers: {:?}", uses.last());
    }
    drop(running);
    Ok(outcome(&uses))
}

/// Starts one container and waits until it runs. It runs on when nobody is attached.
async fn start(client: &Client, index: u32) -> Result<()> {
    let request = request(&format!("idle-{index}"), 250, MEMORY_MIB, &COMMAND)?;
    let (_, attached) = client.run(&request).await.context("a container was refused")?;
    let (mut reader, _writer) = attached.split();
    match reader.next().await.context("a container's stream failed")? {
        Some(Frame::Stdout(_)) => Ok(()),
        Some(Frame::Ended(task)) => bail!("a container stopped: {}", task.stopped_reason.unwrap_or_default()),
        _ => bail!("a container said something else than that it runs"),
    }
}

fn look(host: &Host, client: &Client, available_before: u64) -> Result<Use> {
    let stats = host
        .wait(client.stats())
        .context("the host agent tells no statistics")?;
    let guests: u64 = stats.iter().map(|task| task.memory.guest.proportional_bytes).sum();
    let (mut vmms, mut kernel) = (0, 0);
    let processes = memory::children(host.process(), "mote-vmm")?;
    if processes.len() != stats.len() {
        bail!(
            "there are {} microVMs and {} processes for them",
            stats.len(),
            processes.len()
        );
    }
    for process in processes {
        vmms += memory::proportional_bytes(process)?;
        kernel += memory::kernel_bytes(process)?;
    }
    let available = memory::available_bytes()?;
    Ok(Use {
        guests: mib(guests),
        vmms: mib(vmms.saturating_sub(guests)),
        kernel: mib(kernel),
        agent: mib(memory::proportional_bytes(host.process())?),
        unavailable: mib(available_before.saturating_sub(available)),
    })
}

#[expect(clippy::cast_precision_loss, reason = "sizes of memory are far below 2^53")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What each further container took between one count and the next.
fn marginal(uses: &[(u32, Use)], part: impl Fn(&Use) -> f64) -> Vec<(u32, f64)> {
    let each = |pair: &[(u32, Use)]| {
        let [(fewer, before), (count, after)] = pair else {
            return None;
        };
        Some((*count, (part(after) - part(before)) / f64::from(count - fewer)))
    };
    uses.windows(2).filter_map(each).collect()
}

/// A part of the memory in use: what figures call it, and how it is read.
type Part = (&'static str, fn(&Use) -> f64, Option<f64>);

/// What is told of each count.
const PARTS: [Part; 7] = [
    ("all", Use::all, Some(ALL_MIB_MAX)),
    ("outside guest memory", Use::outside, Some(OUTSIDE_MIB_MAX)),
    ("guest memory", |used| used.guests, None),
    ("process of the VMM", |used| used.vmms, None),
    ("kernel", |used| used.kernel, None),
    ("host agent", |used| used.agent, None),
    ("less available in the host", |used| used.unavailable, None),
];

fn outcome(uses: &[(u32, Use)]) -> Outcome {
    let mut results = Vec::new();
    for (name, part, target) in PARTS {
        // Between the counts that are told, not between the points of the plot.
        let told: Vec<(u32, Use)> = uses
            .iter()
            .copied()
            .filter(|(count, _)| *count == 0 || TOLD.contains(count))
            .collect();
        for (count, value) in marginal(&told, part) {
            let figure = Figure::new(format!("one more of {count}: {name}"), "MiB", value);
            results.push(match target {
                Some(target) if count > 1 => figure.at_most(target),
                _ => figure,
            });
        }
    }
    results.extend(fitting(uses));
    Outcome {
        results,
        notes: vec![
            "the first container's share has all that it shares with later ones: the template's pages, the program's"
                .into(),
            "how many fit is computed from the last share, not tried".into(),
        ],
        plots: vec![("density.svg".into(), plot(uses))],
    }
}

/// How many containers fit into a host's memory, by what the last ones took.
fn fitting(uses: &[(u32, Use)]) -> Option<Figure> {
    let (_, each) = marginal(uses, Use::all).pop()?;
    let ((_, first), (count, last)) = (uses.first()?, uses.last()?);
    let shared = last.all() - each * f64::from(*count) - first.all();
    let fitting = ((HOST_MIB - first.all() - shared.max(0.0)) / each).floor();
    Some(Figure::new("fit into 8 GiB, computed", "containers", fitting))
}

fn plot(uses: &[(u32, Use)]) -> String {
    let curve = |&(name, part, _): &Part| Curve {
        name: name.to_owned(),
        points: marginal(uses, part)
            .into_iter()
            .map(|(count, value)| (f64::from(count), value))
            .collect(),
        steps: false,
    };
    Curves {
        title: "What one more idle container takes",
        across: Axis {
            name: "containers".into(),
            logarithmic: true,
        },
        up: Axis {
            name: "MiB".into(),
            logarithmic: false,
        },
        curves: PARTS
            .iter()
            .filter(|(name, ..)| *name != "host agent")
            .map(curve)
            .collect(),
        target: Some((ALL_MIB_MAX, format!("target: {ALL_MIB_MAX} MiB"))),
    }
    .svg()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses() -> Vec<(u32, Use)> {
        let used = |guests, vmms| Use {
            guests,
            vmms,
            ..Use::default()
        };
        vec![
            (0, used(0.0, 0.0)),
            (1, used(40.0, 2.0)),
            (10, used(112.0, 11.0)),
            (200, used(1632.0, 201.0)),
        ]
    }

    #[test]
    fn a_share_is_of_the_containers_since_the_count_before() {
        assert_eq!(
            marginal(&uses(), |used| used.guests),
            [(1, 40.0), (10, 8.0), (200, 8.0)]
        );
    }

    #[test]
    fn what_all_share_counts_once_for_how_many_fit() {
        // 9 MiB each, 33 MiB once.
        assert_eq!(fitting(&uses()).unwrap().value, ((8192.0_f64 - 33.0) / 9.0).floor());
    }

    #[test]
    fn the_first_container_is_not_judged() {
        let outcome = outcome(&uses());
        let holds = |name: &str| outcome.results.iter().find(|figure| figure.name == name).unwrap().holds;
        assert_eq!(holds("one more of 1: all"), None);
        assert_eq!(holds("one more of 10: all"), Some(true));
    }
}
