//! `mote machine`.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use machine::{Accelerator, Control, ExecRequest, HostFiles, Machine, MachineName, Options, Status};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::{self, MachineShell, MachineStart, MachineStatus};
use crate::terminal::{self, RawMode};
use crate::value::Format;
use crate::{host, output};

/// Signals that are passed on to a program in the machine, by number.
const PASSED_ON: [(SignalKind, u8); 3] = [
    (SignalKind::interrupt(), 2),
    (SignalKind::terminate(), 15),
    (SignalKind::hangup(), 1),
];

/// Controls that may wait for the machine.
const CONTROLS_WAITING: usize = 16;

/// Does what was asked of the machine.
pub async fn machine(command: args::Machine) -> Result<u8> {
    match command {
        args::Machine::Start(start) => start_machine(start).await,
        args::Machine::Stop(stop) => stop_machine(&stop.name).await,
        args::Machine::Status(status) => status_of(&status),
        args::Machine::Shell(shell) => run_in(shell).await,
    }
}

async fn start_machine(start: MachineStart) -> Result<u8> {
    let name = parse_name(&start.name.name)?;
    let data_disk = (!start.ephemeral).then(|| host::data_disk(&name));
    let shares = start
        .share
        .map(|share| std::path::absolute(&share))
        .transpose()
        .context("cannot find the share")?;
    let accelerator = if start.icount {
        Accelerator::InstructionCount
    } else {
        machine::best_accelerator()
    };
    let options = Options {
        memory_mib: start.memory.0,
        cpus: start.cpus.unwrap_or(accelerator.cpus_default()),
        accelerator,
        shares: shares.into_iter().collect(),
        host_files: if start.ephemeral {
            HostFiles::Fixed
        } else {
            HostFiles::Changing
        },
        data_disk,
        name,
        ..Options::default()
    };
    match host::start_machine(options).await? {
        machine::Started::New(machine) => {
            let boot_ms = machine.record().boot_ms;
            output::note(&format!(
                "the machine runs, after {}.{} s",
                boot_ms / 1000,
                boot_ms % 1000 / 100
            ));
        }
        machine::Started::Existing(_) => {
            output::note("the machine runs already, with the options that it was started with")
        }
    }
    Ok(0)
}

fn parse_name(name: &str) -> Result<MachineName> {
    name.parse()
        .with_context(|| format!("'{name}' cannot be a machine's name"))
}

async fn stop_machine(name: &str) -> Result<u8> {
    match Machine::find(&parse_name(name)?)? {
        Some(machine) => machine.stop().await?,
        None => output::note("the machine does not run"),
    }
    Ok(0)
}

/// What `mote machine status` tells.
#[derive(Serialize)]
struct MachineReport {
    name: String,
    status: &'static str,
    memory_mib: Option<u32>,
    cpus: Option<u8>,
    console: Option<PathBuf>,
}

/// Exits with 0 where the machine runs and 3 where it does not, as `systemctl status` does.
fn status_of(arguments: &MachineStatus) -> Result<u8> {
    const NOT_RUNNING: u8 = 3;
    let name = parse_name(&arguments.name.name)?;
    let report = |status, machine: Option<&Machine>| MachineReport {
        name: name.as_str().to_owned(),
        status,
        memory_mib: machine.map(|machine| machine.record().options.memory_mib),
        cpus: machine.map(|machine| machine.record().options.cpus),
        console: machine.map(Machine::console),
    };
    let report = match Machine::status(&name)? {
        Status::Running(machine) => report("running", Some(&machine)),
        Status::Changing => report("changing", None),
        Status::Stopped { .. } => report("stopped", None),
    };
    let header = ["NAME", "STATUS", "CPUS", "MEMORY"];
    match &arguments.listing.format {
        Format::Json => output::json(&report)?,
        other => output::list(other, std::slice::from_ref(&report), &header, row)?,
    }
    Ok(if report.status == "running" { 0 } else { NOT_RUNNING })
}

fn row(report: &MachineReport) -> Vec<String> {
    let number = |number: Option<String>| number.unwrap_or_default();
    vec![
        report.name.clone(),
        report.status.to_owned(),
        number(report.cpus.map(|cpus| cpus.to_string())),
        number(report.memory_mib.map(|memory| format!("{memory} MiB"))),
    ]
}

async fn run_in(shell: MachineShell) -> Result<u8> {
    let name = parse_name(&shell.name.name)?;
    let Some(machine) = Machine::find(&name)? else {
        bail!("the machine {name} does not run: start it with `mote machine start`");
    };
    let interactive = shell.command.is_empty();
    let argv = if interactive {
        vec!["/bin/bash".to_owned(), "-l".to_owned()]
    } else {
        shell.command
    };
    let raw_mode = if interactive && std::io::stdin().is_terminal() {
        Some(RawMode::enter().context("cannot put the terminal into raw mode")?)
    } else {
        None
    };
    let size = terminal::size().filter(|_| raw_mode.is_some());
    let request = ExecRequest {
        argv,
        env: shell
            .env
            .iter()
            .map(|variable| split_variable(variable))
            .collect::<Result<_>>()?,
        working_directory: shell
            .workdir
            .map(PathBuf::from)
            .or_else(|| std::env::current_dir().ok()),
        terminal: size.map(machine_size),
    };
    let execution = machine.exec(request).await?;
    let controls = listen_for_controls()?;
    let ended = execution
        .attach(tokio::io::stdin(), tokio::io::stdout(), tokio::io::stderr(), controls)
        .await?;
    drop(raw_mode);
    Ok(ended.shell_code())
}

fn split_variable(variable: &str) -> Result<(String, String)> {
    let (name, value) = variable
        .split_once('=')
        .with_context(|| format!("'{variable}' is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn machine_size(size: api::task::TerminalSize) -> machine::TerminalSize {
    machine::TerminalSize {
        rows: size.rows,
        columns: size.columns,
    }
}

/// Our signals and window sizes, for the program in the machine.
fn listen_for_controls() -> Result<mpsc::Receiver<Control>> {
    let (sender, receiver) = mpsc::channel(CONTROLS_WAITING);
    for (kind, number) in PASSED_ON {
        let mut signals = signal(kind).context("cannot listen for signals")?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() && sender.send(Control::Signal(number)).await.is_ok() {}
        });
    }
    let mut resized = signal(SignalKind::window_change()).context("cannot listen for signals")?;
    tokio::spawn(async move {
        while resized.recv().await.is_some() {
            let Some(size) = terminal::size() else { continue };
            if sender.send(Control::Resize(machine_size(size))).await.is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}
