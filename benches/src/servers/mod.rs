//! Real servers under load from the host: as tasks of mote, and the same images under podman and crun.

mod load;
mod sides;

use anyhow::{Context, Result};

use crate::bundle::{said, succeed};
use crate::host::Installation;
use crate::patience;
use crate::podman::{self, Podman};
use crate::report::{Figure, Outcome};
use load::{SERVERS, Served, Server};
use sides::{Mote, Side};

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
    patience::until(&format!("{} serves", server.image), || {
        succeed(&mut load::command(server.ready, &address)).ok()
    })?;
    if let Some(prepare) = server.prepare {
        succeed(&mut load::command(prepare, &address))?;
    }
    let served = (server.read)(&said(&mut load::command(server.load, &address))?)?;
    eprintln!("mote-bench: {} under {}: {served:?}", server.image, side.name());
    side.stop()?;
    Ok(served)
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
