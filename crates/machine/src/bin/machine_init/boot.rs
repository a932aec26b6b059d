//! The way from the kernel's first process to a machine that serves its host, step by step.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use machine::wire::{BootReport, Token};

use crate::control::Control;
use crate::{devices, modules, network, relay, root};

/// Boots; what comes back is the relay, which serves until the machine is to be switched off.
pub fn run() -> Result<Child> {
    root::mount_early().context("cannot mount the kernel's file systems")?;
    let mut control = Control::open()?;
    run_with(&mut control).inspect_err(|error| {
        // The host may be gone; the console has the message too.
        let _ = control.report(&BootReport::Failed {
            message: format!("{error:#}"),
        });
    })
}

fn run_with(control: &mut Control) -> Result<Child> {
    control.stage("init")?;
    let config = control.read_config()?;
    modules::load_all()?;
    control.stage("modules")?;
    root::enter(&config)?;
    control.stage("root")?;
    devices::prepare()?;
    root::prepare_cgroups().context("cannot prepare the cgroups")?;
    network::configure().context("cannot configure the network")?;
    rustix::system::sethostname(b"mote-machine").context("cannot set the hostname")?;
    if config.data_disk {
        root::mount_data_disk()?;
    }
    control.stage("system")?;
    start_relay(control, &config.token)
}

/// The relay gets the token from its standard input and the control port as its standard output, to say on it that it is ready.
fn start_relay(control: &Control, token: &Token) -> Result<Child> {
    let port = control.duplicate().context("cannot pass the control port on")?;
    let mut child = Command::new("/proc/self/exe")
        .arg(relay::ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(port)
        .spawn()
        .context("cannot start the relay")?;
    let mut input = child.stdin.take().context("the relay has no standard input")?;
    input.write_all(token).context("cannot pass the token on")?;
    Ok(child)
}
