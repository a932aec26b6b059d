//! Clients that ask as fast as they are answered.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::calls::{Call, Calls};
use crate::clock::monotonic_ns;
use crate::report::Figure;
use crate::sample::Sample;
use crate::unit::Unit;

/// What clients saw.
#[derive(Debug)]
pub struct Pressed {
    clients: usize,
    /// From the first call to the last answer.
    all_ns: u64,
    /// From each call to its answer.
    each: Sample,
}

impl Pressed {
    /// How many answers a second there were, and how long they took.
    pub fn figures(&self, name: &str) -> Vec<Figure> {
        let clients = match self.clients {
            1 => "1 client".to_owned(),
            count => format!("{count} clients"),
        };
        let count = u32::try_from(self.each.values().len()).unwrap_or(u32::MAX);
        let per_second = f64::from(count) / Duration::from_nanos(self.all_ns).as_secs_f64();
        let time = |what: &str, percent| {
            Figure::time(
                format!("{name}, {clients}: {what}"),
                Unit::Milliseconds,
                self.each.percentile(percent),
            )
        };
        vec![
            Figure::new(format!("{name}, {clients}: per second"), "1/s", per_second),
            time("median", 50),
            time("p99", 99),
        ]
    }
}

/// Has as many clients make `calls`, each its part of them, and `check` each answer with the call's number.
pub fn press(
    socket: &Path,
    clients: usize,
    calls: &[Call],
    check: impl Fn(usize, &str) -> Result<()> + Sync,
) -> Result<Pressed> {
    let mut connections = (0..clients).map(|_| Calls::open(socket)).collect::<Result<Vec<_>>>()?;
    let begun = monotonic_ns();
    let times = thread::scope(|scope| {
        let check = &check;
        let all: Vec<_> = connections
            .iter_mut()
            .enumerate()
            .map(|(client, connection)| {
                let own = calls.iter().enumerate().skip(client).step_by(clients);
                scope.spawn(move || ask(connection, own, check))
            })
            .collect();
        all.into_iter()
            .map(|thread| thread.join().ok().context("a client panicked")?)
            .collect::<Result<Vec<_>>>()
    })?;
    let all_ns = monotonic_ns() - begun;
    Ok(Pressed {
        clients,
        all_ns,
        each: Sample::new(times.concat()).context("nobody asked")?,
    })
}

/// Makes calls one after the other; how long each took.
fn ask<'a>(
    connection: &mut Calls,
    calls: impl Iterator<Item = (usize, &'a Call)>,
    check: impl Fn(usize, &str) -> Result<()>,
) -> Result<Vec<u64>> {
    let mut times = Vec::new();
    for (index, (operation, body)) in calls {
        let begun = monotonic_ns();
        let answer = connection.text(operation, body)?;
        times.push(monotonic_ns() - begun);
        check(index, &answer)?;
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_all_clients_together() {
        let pressed = Pressed {
            clients: 2,
            all_ns: 500_000_000,
            each: Sample::new(vec![1_000_000; 100]).unwrap(),
        };
        let figures = pressed.figures("RunTask");
        assert_eq!(figures[0].name, "RunTask, 2 clients: per second");
        assert!((figures[0].value - 200.0).abs() < 1e-9);
        assert!((figures[2].value - 1.0).abs() < 1e-9);
    }
}
