//! Real servers under load from the host: as tasks of mote, and the same images under podman and crun.

mod load;
mod sides;

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::host::Installation;
use crate::podman::{self, Podman};
use crate::report::{Figure, Outcome};
use load::{SERVERS, Served, Server};
use sides::{Mote, Side};

/// How often to look whether a server serves, and how long to wait in between.
const LOOKS_MAX: u32 = 1200;
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Presses every server, on one side after the other.
pub fn measure() -> Result<Outcome> {
    let installation = Installation::from_environment()?;
    let mote = Mote::start(&installation)?;
    let podman = Podman::find()?;
    let mut outcome = Outcome::default();
    if podman.is_none() {
        outcome
            .notes
            .push(format!("{} is left out: podman is not installed", podman::NAME));
    }
    for server in &SERVERS {
        let ours = press(&mote, server)?;
        let theirs = podman.as_ref().map(|podman| press(podman, server)).transpose()?;
        outcome.results.extend(figures(server.image, &ours, theirs.as_ref()));
    }
    Ok(outcome)
}

/// Starts a server, waits until it serves, presses it, and ends it.
fn press(side: &dyn Side, server: &Server) -> Result<Served> {
    let address = side
        .start(server)
        .with_context(|| format!("{} does not start {}", side.name(), server.image))?;
    wait_until_ready(server, &address)?;
    if let Some(prepare) = server.prepare {
        run(prepare, &address)?;
    }
    let served = (server.read)(&run(server.load, &address)?)?;
    eprintln!("mote-bench: {} under {}: {served:?}", server.image, side.name());
    side.stop()?;
    Ok(served)
}

fn wait_until_ready(server: &Server, address: &str) -> Result<()> {
    for _ in 0..LOOKS_MAX {
        let words = load::command(server.ready, address);
        let looked = Command::new(&words[0]).args(&words[1..]).output();
        if looked
            .with_context(|| format!("cannot run {}", words[0]))?
            .status
            .success()
        {
            return Ok(());
        }
        sleep(LOOK_INTERVAL);
    }
    bail!("{} does not serve", server.image)
}

/// What a command against the server prints; it has to succeed.
fn run(words: &[&str], address: &str) -> Result<String> {
    let words = load::command(words, address);
    let output = Command::new(&words[0]).args(&words[1..]).output();
    let output = output.with_context(|| format!("cannot run {}", words[0]))?;
    if !output.status.success() {
        bail!(
            "{} failed: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn figures(image: &str, ours: &Served, theirs: Option<&Served>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (index, (what, rate)) in ours.rates.iter().enumerate() {
        let figure = Figure::new(format!("{image}: {what}"), "1/s", *rate);
        figures.push(match theirs {
            Some(theirs) => figure.against(podman::NAME, theirs.rates[index].1),
            None => figure,
        });
    }
    figures.push(Figure::new(format!("{image}: errors"), "errors", ours.errors).at_most(0.0));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_too_many() {
        let served = |rate, errors| Served {
            rates: vec![("requests", rate)],
            errors,
        };
        let figures = figures("nginx", &served(50.0, 1.0), Some(&served(100.0, 0.0)));
        assert_eq!(figures[0].ratio, Some(0.5));
        assert_eq!(figures[1].holds, Some(false));
    }
}
