//! Whether a container has the memory that was asked for, to the MiB: how much a program can have before the kernel ends it.

use anyhow::{Result, bail};

use crate::host::{Host, IMAGE, Installation, NO_POOL};
use crate::plot::{Axis, Curve, Curves};
use crate::report::{Figure, Outcome};

/// The sizes, in MiB.
const SIZES: [u32; 7] = [6, 32, 43, 64, 100, 512, 2048];

/// How far what can be had may be from what was asked for, in MiB.
const OFF_MIB_MAX: f64 = 1.0;

/// The share of memory that the tables take in which the CPU looks it up: 8 bytes for each 4096.
const PAGE_TABLE_SHARE: f64 = 512.0;

/// A MiB, in bytes.
const MIB: f64 = (1 << 20) as f64;

/// Less than this can be had for certain, in MiB: the shell and the program themselves, and 1/256 of what was asked for, twice the page tables.
const CERTAIN_MIB: u32 = 4;
const CERTAIN_SHARE: u32 = 256;

/// How exactly it is found out, in KiB.
const STEP_KIB: u32 = 64;

/// Fills the memory of one container of each size.
pub fn measure() -> Result<Outcome> {
    let installation = Installation::from_environment()?;
    let host = Host::start(&installation, NO_POOL)?;
    host.prepare()?;
    let mut outcome = Outcome::default();
    let mut points = Vec::new();
    for asked_mib in SIZES {
        let memory = asked_mib.to_string();
        let options = ["run", "--rm", "--cpu", "1", "--memory", &memory];
        let told = host.mote(&[&options, &[IMAGE, "sh", "-c", &script(asked_mib)][..]].concat())?;
        let had = parse(&told)?;
        eprintln!("mote-bench: {asked_mib} MiB: {had:?}");
        outcome.results.extend(figures(asked_mib, had));
        points.push((f64::from(asked_mib), f64::from(asked_mib) - had.mapped()));
    }
    outcome.notes.push(
        "had: the largest piece of memory that one program fills without being killed, and the page tables for it, which are the container's as well; the rest of the difference is the program itself and the shell that started it"
            .into(),
    );
    outcome.plots.push(("memory-exact.svg".into(), plot(points)));
    Ok(outcome)
}

/// A shell that halves what is not certain until it is small enough. The shell survives: the kernel ends the process that has most.
fn script(asked_mib: u32) -> String {
    let certain_kib = (asked_mib - CERTAIN_MIB.min(asked_mib - 1) - asked_mib / CERTAIN_SHARE) * 1024;
    let asked_kib = asked_mib * 1024;
    format!(
        "low={certain_kib}; high={asked_kib}; while [ $((high - low)) -gt {STEP_KIB} ]; do middle=$(((low + high) / 2)); \
         if dd if=/dev/zero of=/dev/null bs=${{middle}}k count=1 2>/dev/null; then low=$middle; else high=$middle; fi; done; \
         read -r peak </sys/fs/cgroup/memory.peak; echo $low $peak $(grep -w oom_kill /sys/fs/cgroup/memory.events)"
    )
}

/// What one program had, in MiB.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Had {
    /// What it had written to.
    filled: f64,
    /// What its container was charged for at most.
    charged: f64,
}

impl Had {
    /// The program's memory, and the page tables for it.
    fn mapped(self) -> f64 {
        self.filled + self.filled / PAGE_TABLE_SHARE
    }
}

/// Reads `KIB BYTES oom_kill COUNT`.
fn parse(told: &str) -> Result<Had> {
    let words: Vec<f64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match words[..] {
        [filled_kib, charged_bytes, kills] if kills > 0.0 => Ok(Had {
            filled: filled_kib / 1024.0,
            charged: charged_bytes / MIB,
        }),
        _ => bail!("the container said {told:?}"),
    }
}

fn figures(asked_mib: u32, had: Had) -> [Figure; 3] {
    let off = (f64::from(asked_mib) - had.mapped()).abs();
    let charged_off = (f64::from(asked_mib) - had.charged).abs();
    [
        Figure::new(format!("{asked_mib} MiB: had by one program"), "MiB", had.filled),
        Figure::new(format!("{asked_mib} MiB: off by, page tables counted"), "MiB", off).at_most(OFF_MIB_MAX),
        Figure::new(
            format!("{asked_mib} MiB: charged to the container, off by"),
            "MiB",
            charged_off,
        )
        .at_most(OFF_MIB_MAX),
    ]
}

fn plot(points: Vec<(f64, f64)>) -> String {
    let axis = |name: &str, logarithmic| Axis {
        name: name.to_owned(),
        logarithmic,
    };
    Curves {
        title: "Memory that was asked for and that one program could not have",
        across: axis("MiB asked for", true),
        up: axis("MiB", false),
        curves: vec![Curve {
            name: "less than asked for".into(),
            points,
            steps: false,
        }],
        target: Some((OFF_MIB_MAX, format!("target: {OFF_MIB_MAX} MiB"))),
    }
    .svg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_container_that_came_to_its_limit_tells_how_much_there_is() {
        let had = parse("1024 2097152 oom_kill 3\n").unwrap();
        assert_eq!((had.filled, had.charged), (1.0, 2.0));
        assert!(parse("1024 2097152 oom_kill 0\n").is_err());
        assert!(parse("1024\n").is_err());
    }

    #[test]
    fn the_search_begins_below_what_was_asked_for() {
        assert!(script(6).contains("low=2048; high=6144;"), "{}", script(6));
        assert!(script(2048).contains("low=2084864; high=2097152;"), "{}", script(2048));
    }

    #[test]
    fn page_tables_are_the_programs() {
        let had = |filled| Had { filled, charged: 512.0 };
        let holds = |filled| figures(512, had(filled))[1].holds;
        assert_eq!(holds(510.5), Some(true));
        assert_eq!(holds(509.0), Some(false));
    }
}
