//! Whether a container has the memory that was asked for, to the MiB: how much a program can have before the kernel ends it.

use anyhow::{Context, Result, bail};

use crate::plot::{Axis, Curve, Curves};
use crate::report::{Figure, Outcome};
use crate::worker::Workshop;

/// The sizes, in MiB.
const SIZES: [u32; 7] = [6, 32, 43, 64, 100, 512, 2048];

/// How far what can be had may be from what was asked for, in MiB.
const OFF_MIB_MAX: f64 = 1.0;

/// The share of memory that the tables take in which the CPU looks it up: 8 bytes for each 4096.
const PAGE_TABLE_SHARE: f64 = 512.0;

/// A MiB, in bytes.
const MIB: f64 = (1 << 20) as f64;

/// What one program had when it was killed, in MiB.
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

/// Fills the memory of one container of each size.
pub fn measure() -> Result<Outcome> {
    let workshop = Workshop::open()?;
    let mut outcome = Outcome::default();
    let mut points = Vec::new();
    for asked_mib in SIZES {
        let mut worker = workshop.start(
            &format!("fill-{asked_mib}"),
            1000,
            asked_mib,
            &["allocate", &asked_mib.to_string()],
        )?;
        let had = parse(&worker.hear("allocated")?)?;
        worker.stop()?;
        eprintln!("mote-bench: {asked_mib} MiB: {had:?}");
        outcome.results.extend(figures(asked_mib, had));
        points.push((f64::from(asked_mib), f64::from(asked_mib) - had.mapped()));
    }
    outcome.notes.push(
        "had: what one program had written to when the kernel killed it, and the page tables for that, which are the container's as well; the rest of the difference is the program itself and its parent"
            .into(),
    );
    outcome.plots.push(("memory-exact.svg".into(), plot(points)));
    Ok(outcome)
}

/// Reads `BYTES peak BYTES killed`.
fn parse(told: &str) -> Result<Had> {
    let words: Vec<&str> = told.split_whitespace().collect();
    let [filled, "peak", charged, end] = words[..] else {
        bail!("the worker said {told:?}");
    };
    if end != "killed" {
        bail!("the program was not killed: it had {filled} bytes");
    }
    let mib = |bytes: &str| {
        let bytes: f64 = bytes.parse().with_context(|| format!("the worker said {told:?}"))?;
        Ok::<_, anyhow::Error>(bytes / MIB)
    };
    Ok(Had {
        filled: mib(filled)?,
        charged: mib(charged)?,
    })
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
    fn only_a_program_that_was_killed_tells_how_much_there_is() {
        let had = parse("1048576 peak 2097152 killed").unwrap();
        assert_eq!((had.filled, had.charged), (1.0, 2.0));
        assert!(parse("1048576 peak 2097152 not killed").is_err());
        assert!(parse("1048576").is_err());
    }

    #[test]
    fn page_tables_are_the_programs() {
        let had = |filled| Had { filled, charged: 512.0 };
        let holds = |filled| figures(512, had(filled))[1].holds;
        assert_eq!(holds(510.5), Some(true));
        assert_eq!(holds(509.0), Some(false));
    }
}
