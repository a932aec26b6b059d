//! The verbs, one module each.

mod agent;
mod doctor;
mod image;
mod info;
mod machine;
mod run;
mod stats;
mod task;
mod template;

use std::future::Future;

use anyhow::{Context, Result};

use crate::args::{Arguments, Command};

/// Does what was asked; the exit code.
pub fn run(arguments: Arguments) -> Result<u8> {
    let host = arguments.host;
    match arguments.command {
        Command::Run(run) => block_on(run::run(host, *run)),
        Command::Ps(ps) => block_on(task::list(host, ps)),
        Command::Inspect(names) => block_on(task::inspect(host, names)),
        Command::Stats(stats) => block_on(stats::stats(host, stats)),
        Command::Stop(stop) => block_on(task::stop(host, stop)),
        Command::Rm(rm) => block_on(task::remove(host, rm)),
        Command::Pull(pull) => block_on(image::pull(host, pull)),
        Command::Load(load) => block_on(image::load(host, load)),
        Command::Images(listing) => block_on(image::list(host, listing)),
        Command::Rmi(names) => block_on(image::remove(host, names)),
        Command::Template(template) => block_on(template::template(host, template)),
        Command::Info(listing) => block_on(info::info(host, listing)),
        Command::Doctor(listing) => doctor::doctor(&listing),
        Command::Machine(machine) => block_on(machine::machine(machine)),
        Command::Agent(agent) => agent::agent(agent),
    }
}

fn block_on(work: impl Future<Output = Result<u8>>) -> Result<u8> {
    // On this thread alone: a command mostly waits, and every further thread would cost its start.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot wait for events")?;
    let result = runtime.block_on(work);
    // A thread that still reads the person's standard input would hold the exit up.
    runtime.shutdown_background();
    result
}
