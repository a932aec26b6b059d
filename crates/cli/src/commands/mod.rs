//! The verbs, one module each.

mod agent;
mod confirmation;
mod copy;
mod doctor;
mod ecs;
mod events;
mod exec;
mod identity;
mod image;
mod image_tree;
mod info;
mod install;
mod logs;
mod machine;
mod manual;
mod network;
mod ps;
mod registry;
mod run;
mod stats;
mod system;
mod task;
mod task_name;
mod template;
mod usage;

use std::future::Future;

use anyhow::{Context, Result};

use crate::args::{Arguments, Command};

/// Does what was asked; the exit code.
pub fn run(arguments: Arguments) -> Result<u8> {
    let host = arguments.host;
    match arguments.command {
        Command::Run(run) => block_on(run::run(host, *run)),
        Command::Exec(exec) => block_on(exec::exec(host, exec)),
        Command::Attach(attach) => block_on(exec::attach(host, attach)),
        Command::Ps(ps) => block_on(ps::list(host, ps)),
        Command::Inspect(inspect) => block_on(ps::inspect(host, inspect)),
        Command::Logs(logs) => block_on(logs::logs(host, logs)),
        Command::Stats(stats) => block_on(stats::stats(host, stats)),
        Command::Usage(arguments) => block_on(usage::usage(host, arguments)),
        Command::Top(top) => block_on(task::top(host, top)),
        Command::Port(port) => block_on(task::port(host, port)),
        Command::Cp(cp) => block_on(copy::copy(host, cp)),
        Command::Wait(wait) => block_on(task::wait(host, wait)),
        Command::Stop(stop) => block_on(task::stop(host, stop)),
        Command::Kill(kill) => block_on(task::kill(host, kill)),
        Command::Rm(rm) => block_on(task::remove(host, rm)),
        Command::Events(events) => block_on(events::events(host, events)),
        Command::Pull(pull) => block_on(image::pull(host, pull)),
        Command::Load(load) => block_on(image::load(host, load)),
        Command::Save(save) => block_on(image::save(host, save)),
        Command::Images(images) => block_on(image::list(host, images)),
        Command::Rmi(names) => block_on(image::remove(host, names)),
        Command::Image(verb) => block_on(image::image(host, verb)),
        Command::Login(login) => block_on(registry::login(host, login)),
        Command::Logout(logout) => block_on(registry::logout(host, logout)),
        Command::TaskDefinition(verb) => block_on(ecs::definition::definition(host, verb)),
        Command::Task(verb) => block_on(ecs::task::task(host, verb)),
        Command::Service(verb) => block_on(ecs::service::service(host, verb)),
        Command::Cluster(verb) => block_on(ecs::cluster::cluster(host, verb)),
        Command::Network(verb) => block_on(network::network(host, verb)),
        Command::Template(template) => block_on(template::template(host, template)),
        Command::Credentials(credentials) => block_on(identity::credentials(host, credentials)),
        Command::Secret(verb) => block_on(identity::secret(host, verb)),
        Command::System(verb) => block_on(system::system(host, verb)),
        Command::Info(listing) => block_on(info::info(host, listing)),
        Command::Doctor(listing) => doctor::doctor(&listing),
        Command::Machine(machine) => block_on(machine::machine(machine)),
        Command::Agent(agent) => agent::agent(agent),
        Command::Completions(completions) => manual::completions(&completions),
        Command::Man(man) => manual::manual(&man),
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
