//! How much the host agent's API bears, and what the host agent takes of memory: with fake microVMs, so without KVM.
//!
//! [`host`] is the host agent, [`calls`] are the calls of Amazon ECS, [`press`] is who makes them.

mod calls;
mod host;
mod press;

use anyhow::{Context, Result};

use crate::clock::monotonic_ns;
use crate::host::Scratch;
use crate::memory::{self, Resident};
use crate::report::{Figure, Outcome};
use crate::unit::Unit;
use calls::{Call, PAGE};
use host::{FakeHost, Place};
use press::press;

/// How many tasks run at once when memory is looked at.
const RUNNING: u32 = 1000;

/// The memory that the host agent may have then, in MiB.
const MEMORY_MIB_MAX: f64 = 64.0;

/// How many tasks have stopped and are in the store when others are accepted.
const STOPPED_FEW: u32 = 1000;

/// How many tasks have stopped when they are listed and described.
const STOPPED_MANY: u32 = 100_000;

/// The memory for tasks where one of them leaves no room for another, in MiB.
const ROOM_MIB: u32 = 1000;

/// Calls of each kind.
const CALLS: usize = 2000;

/// How many clients call at once.
const CLIENTS: [usize; 2] = [1, 8];

/// Measures all.
pub fn measure() -> Result<Outcome> {
    let mut results = Vec::new();
    results.extend(running()?);
    results.extend(accepting()?);
    results.extend(looking()?);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Outcome {
        results,
        notes: vec![
            format!("the host has {cpus} CPUs; clients, host agent and fake microVMs share them"),
            "clients speak HTTP over the unix socket, each over a connection that it keeps".into(),
            "a fake microVM is a process that speaks with the host agent as a VMM and its guest do; tasks have no network; control groups are directories".into(),
        ],
        plots: vec![],
    })
}

/// Tasks are accepted and run; then memory is looked at.
fn running() -> Result<Vec<Figure>> {
    let scratch = Scratch::new("running")?;
    let host = Place::with_stopped(scratch.path(), 1)?.start(None)?;
    let mut results = memory_of(&host, "no task runs")?;
    let mut calls = host.calls()?;
    let begun = monotonic_ns();
    let wanted: Vec<Call> = (0..RUNNING).map(|_| calls::run()).collect();
    let pressed = press(host.socket(), 1, &wanted, |_, answer| calls::accepted(answer).map(drop))?;
    results.extend(pressed.figures(&format!("RunTask while {RUNNING} tasks start")));
    host.wait_for(|| Ok(calls.running()? == u64::from(RUNNING)))?;
    let name = format!("{RUNNING} tasks: from the first call until all run");
    results.push(Figure::time(name, Unit::Milliseconds, monotonic_ns() - begun));
    let figures = memory_of(&host, &format!("{RUNNING} tasks run"))?;
    results.extend(figures.into_iter().map(|figure| figure.at_most(MEMORY_MIB_MAX)));
    Ok(results)
}

/// Tasks are accepted, and wait: nothing else takes the CPUs.
fn accepting() -> Result<Vec<Figure>> {
    let scratch = Scratch::new("accepting")?;
    let host = Place::with_stopped(scratch.path(), STOPPED_FEW)?.start(Some(ROOM_MIB))?;
    let mut results = memory_of(&host, &format!("{STOPPED_FEW} tasks have stopped"))?;
    fill(&host)?;
    let wanted = vec![calls::run(); CALLS];
    for clients in CLIENTS {
        let pressed = press(host.socket(), clients, &wanted, |_, answer| {
            calls::accepted(answer).map(drop)
        })?;
        results.extend(pressed.figures(&format!("RunTask, {STOPPED_FEW} tasks in the store")));
    }
    Ok(results)
}

/// Tasks that stopped are listed and described.
fn looking() -> Result<Vec<Figure>> {
    let scratch = Scratch::new("looking")?;
    let place = Place::with_stopped(scratch.path(), STOPPED_MANY)?;
    let begun = monotonic_ns();
    let host = place.start(Some(ROOM_MIB))?;
    let stored = format!("{STOPPED_MANY} tasks have stopped");
    let mut results = vec![Figure::time(
        format!("start of the host agent, {stored}"),
        Unit::Milliseconds,
        monotonic_ns() - begun,
    )];
    results.extend(memory_of(&host, &stored)?);
    let (arns, lists) = walk(&host)?;
    let mut kinds: Vec<(String, Vec<Call>, usize)> = vec![(format!("ListTasks, a page of {PAGE}"), lists, 0)];
    for size in [1, PAGE] {
        // Evenly from all of them: no question asks for what the one before has asked for.
        let step = arns.len() / CALLS.min(arns.len() / size);
        let questions = arns
            .chunks(step)
            .map(|part| calls::describe(&part[..size.min(part.len())]));
        let name = if size == 1 {
            "one task".to_owned()
        } else {
            format!("{size} tasks")
        };
        kinds.push((format!("DescribeTasks, {name}"), questions.collect(), size));
    }
    for (name, questions, size) in kinds {
        for clients in CLIENTS {
            let pressed = press(host.socket(), clients, &questions, |_, answer| match size {
                0 => calls::page(answer).map(drop),
                size => calls::described(answer, size),
            })?;
            results.extend(pressed.figures(&format!("{name} of {STOPPED_MANY}")));
        }
    }
    results.extend(memory_of(&host, &format!("{stored} and were looked at"))?);
    fill(&host)?;
    let wanted = vec![calls::run(); CALLS];
    let pressed = press(host.socket(), 1, &wanted, |_, answer| calls::accepted(answer).map(drop))?;
    results.extend(pressed.figures(&format!("RunTask, {STOPPED_MANY} tasks in the store")));
    Ok(results)
}

/// Runs the one task that there is room for.
fn fill(host: &FakeHost) -> Result<()> {
    let mut calls = host.calls()?;
    let task = calls.run_one()?;
    host.wait_for(|| Ok(calls.status(&task)? == "RUNNING"))
}

/// The ARNs of all tasks that stopped, and the calls that list them.
fn walk(host: &FakeHost) -> Result<(Vec<String>, Vec<Call>)> {
    let mut calls = host.calls()?;
    let mut lists = vec![calls::list_stopped(None)];
    let mut arns = Vec::new();
    loop {
        let (operation, body) = lists.last().context("there is a first page")?;
        let (found, next) = calls::page(&calls.text(operation, body)?)?;
        arns.extend(found);
        match next {
            Some(next) => lists.push(calls::list_stopped(Some(&next))),
            None => break,
        }
    }
    let count = u32::try_from(arns.len()).unwrap_or(u32::MAX);
    anyhow::ensure!(count == STOPPED_MANY, "{count} tasks are listed, not {STOPPED_MANY}");
    Ok((arns, lists))
}

fn memory_of(host: &FakeHost, when: &str) -> Result<Vec<Figure>> {
    let Resident { all, private } = memory::resident(host.process())?;
    eprintln!("mote-bench: {when}: {} KiB", all >> 10);
    Ok([("resident", all), ("private", private)]
        .map(|(what, bytes)| Figure::new(format!("host agent's memory, {when}: {what}"), "MiB", mib(bytes)))
        .into())
}

fn mib(bytes: u64) -> f64 {
    // Whole KiB are told, and far fewer than a number of 32 bits has.
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0
}
