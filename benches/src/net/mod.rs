//! Network and disk of one guest: bytes each way, round trips of one byte, requests of the disk; beside Firecracker's, or, where that is not at hand, the
//! network of a container of podman and crun.

mod firecracker;
mod guest;

use std::path::Path;

use anyhow::{Context, Result};

use crate::host::image_archive;
use crate::podman::{self, Podman};
use crate::report::{Figure, Outcome};
use crate::unit::Unit;
use crate::worker::{self, Workshop};
use guest::Measured;

/// The peer that counts.
const FIRECRACKER: &str = "Firecracker";

/// The image that has the programs.
const IMAGE: &str = "tools";

/// The name of what serves.
const NAME: &str = "serves";

/// The memory of each guest, in MiB. Each has one vCPU.
const MEMORY_MIB: u32 = 512;

/// Measures mote, and the peer that is there.
pub fn measure(firecracker: Option<&Path>, unit: Unit) -> Result<Outcome> {
    let workshop = Workshop::open()?;
    let ours = mote(&workshop).context("mote cannot be measured")?;
    eprintln!("mote-bench: {ours:?}");
    let mut outcome = Outcome::default();
    let (peer, theirs) = if let Some(program) = firecracker {
        let guest = firecracker::boot(program, MEMORY_MIB, &image_archive(IMAGE)?)?;
        let mut theirs = guest::disk(&guest.disk)?;
        theirs.extend(guest::network(guest.address)?);
        (FIRECRACKER, theirs)
    } else {
        outcome
            .notes
            .push("Firecracker is left out: --firecracker PATH names it".into());
        (podman::NAME, container(&workshop)?)
    };
    if unit == Unit::MegaInstructions {
        outcome.notes.push("a second is 1,000,000,000 instructions of host and guest together: so rates are the inverse of path lengths".into());
    }
    outcome.results = figures(&ours, &theirs, peer);
    Ok(outcome)
}

fn mote(workshop: &Workshop) -> Result<Vec<Measured>> {
    let host = &workshop.host;
    host.load(&image_archive(IMAGE)?)?;
    let memory = MEMORY_MIB.to_string();
    let size = ["--cpu", "1", "--memory", &memory];
    // A volume is a file system of the disk's, as Firecracker's guest has it, without the layers that the container's root has.
    let options = ["run", "--rm", "--volume", "/data"];
    let said = host.mote(&[&options, &size[..], &[IMAGE, "bash", "-c", guest::DISK]].concat())?;
    let mut measured = guest::disk(said.as_bytes())?;
    let (volume, serve) = (workshop.volume(), guest::serve(&worker::inside()));
    let options = ["run", "--detach", "--name", NAME, "--volume", &volume];
    host.mote(&[&options, &size[..], &[IMAGE, "bash", "-c", &serve]].concat())?;
    measured.extend(guest::network(&host.address(NAME)?)?);
    host.mote(&["rm", "--force", NAME])?;
    Ok(measured)
}

/// A container's network; nothing where podman is not installed.
fn container(workshop: &Workshop) -> Result<Vec<Measured>> {
    let Some(podman) = Podman::find()? else {
        return Ok(Vec::new());
    };
    let volume = format!("{}:{}:ro", workshop.program().display(), worker::inside());
    let serve = guest::serve(&worker::inside());
    let options = ["--volume", &volume];
    let address = podman.start(
        NAME,
        &image_archive(IMAGE)?,
        MEMORY_MIB,
        &options,
        &["bash", "-c", &serve],
    )?;
    let measured = guest::network(&address)?;
    podman.remove(NAME)?;
    Ok(measured)
}

/// Ours beside theirs; every rate of Firecracker's has to be reached.
fn figures(ours: &[Measured], theirs: &[Measured], peer: &str) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (name, unit, value) in ours {
        let figure = Figure::new(name.clone(), unit, *value);
        let Some((_, _, other)) = theirs.iter().find(|(theirs, ..)| theirs == name) else {
            figures.push(figure);
            continue;
        };
        figures.push(figure.against(peer, *other));
        if peer == FIRECRACKER {
            figures.push(Figure::new(format!("{name}, Firecracker's by ours"), "ratio", other / value).at_most(1.0));
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_slower_than_firecracker_misses() {
        let measured = |value| vec![("round trips".to_owned(), "1/s", value)];
        let holds = |ours, theirs| figures(&measured(ours), &measured(theirs), FIRECRACKER)[1].holds;
        assert_eq!((holds(10.0, 9.0), holds(9.0, 10.0)), (Some(true), Some(false)));
        assert_eq!(figures(&measured(1.0), &measured(2.0), podman::NAME).len(), 1);
    }
}
