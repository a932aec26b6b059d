//! Finds the host agent; starts it, on this host or in the machine, where it does not run.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use api::client::{Client, Signer, Transport};
use api::route::SOCKET_PATH;
use machine::{
    DataDisk, ExecRequest, Execution, ExitStatus, Machine, MachineName, Options, Programs, Progress, Started,
};

use crate::output;

/// What the host agent says on standard output once it can be reached.
const READY: &str = "ready";

/// A client of the host agent at `host`, or of the nearest one.
pub async fn connect(host: Option<String>) -> Result<Client> {
    if let Some(host) = host {
        return named(&host);
    }
    let client = Client::unix(Path::new(SOCKET_PATH));
    if client.open().await.is_ok() {
        return Ok(client);
    }
    let virtualization = machine::has_hardware_virtualization();
    if virtualization.is_usable() {
        start_agent(&agent_executable()?, &[])?;
        output::note("started the host agent, which runs on: `mote agent install` has systemd do so");
        return Ok(client);
    }
    output::note(&format!(
        "no usable hardware virtualization ({virtualization}): using the machine"
    ));
    connect_in_machine().await
}

/// A client of the host agent at this address.
fn named(host: &str) -> Result<Client> {
    if let Some(path) = host.strip_prefix("unix://") {
        return Ok(Client::unix(Path::new(path)));
    }
    let address = host.strip_prefix("tcp://").or_else(|| host.strip_prefix("http://"));
    let Some(address) = address
        .map(|address| address.trim_end_matches('/'))
        .filter(|address| address.contains(':'))
    else {
        bail!("'{host}' is not the address of a host agent: write unix:///PATH or tcp://HOST:PORT");
    };
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) else {
        bail!(
            "{host} wants an access key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to what `mote credentials` prints on that host"
        );
    };
    let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
    let signer = Signer::new(id, secret, region.unwrap_or_else(|| "us-east-1".to_owned()));
    Ok(Client::tcp(address, signer))
}

/// The host agent's executable, beside this one.
pub fn agent_executable() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this executable")?;
    let agent = own.with_file_name("mote-agent");
    if !agent.is_file() {
        bail!(
            "cannot find the host agent at {}: install mote-agent beside mote",
            agent.display()
        );
    }
    Ok(agent)
}

/// Starts the host agent in a session of its own, and waits until it can be reached.
pub fn start_agent(executable: &Path, options: &[String]) -> Result<()> {
    let log_path = log_path();
    let log = std::fs::File::options().create(true).append(true).open(&log_path);
    let log = log.with_context(|| format!("cannot open the host agent's log {}", log_path.display()))?;
    let mut agent = Command::new(executable)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .current_dir("/")
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot execute {}", executable.display()))?;
    let mut line = String::new();
    if let Some(stdout) = agent.stdout.take() {
        BufReader::new(stdout)
            .read_line(&mut line)
            .context("cannot hear from the host agent")?;
    }
    if line.trim() != READY {
        let status = agent.wait().context("cannot wait for the host agent")?;
        bail!("the host agent did not start ({status}): {}", last_line(&log_path));
    }
    Ok(())
}

/// Where the log of a host agent goes that was started in the background.
fn log_path() -> PathBuf {
    let log = Path::new("/var/log/mote-agent.log");
    if log.parent().is_some_and(Path::is_dir) {
        log.to_owned()
    } else {
        std::env::temp_dir().join("mote-agent.log")
    }
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .next_back()
        .map_or_else(|| format!("see {}", log.display()), str::to_owned)
}

/// Starts the machine, showing what takes long.
pub async fn start_machine(mut options: Options) -> Result<Started> {
    let programs = Programs::find()?;
    options.shares.extend(hidden_installation(&options.shares)?);
    let on_progress = |progress| match progress {
        Progress::PreparingParts => {}
        Progress::Booting => output::note("starting the machine; `mote machine stop` ends it"),
        Progress::Stage(_) => {}
    };
    Ok(Machine::start(options, &programs, on_progress).await?)
}

/// The directory that this installation lies in, where the machine would not see it otherwise: its programs run in the machine as well.
fn hidden_installation(shares: &[PathBuf]) -> Result<Option<PathBuf>> {
    let own = std::env::current_exe().context("cannot find this executable")?;
    let prefix = own.ancestors().nth(2).unwrap_or(&own);
    let covered = shares.iter().any(|share| prefix.starts_with(share));
    Ok((machine::is_hidden(prefix) && !covered).then(|| prefix.to_owned()))
}

/// The disk that keeps a machine's image store.
pub fn data_disk(name: &MachineName) -> DataDisk {
    const SIZE_MIB: u64 = 64 << 10;
    let home = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")));
    let directory = home.unwrap_or_else(|| PathBuf::from("/var/lib"));
    DataDisk {
        path: directory.join("mote/machine").join(format!("{}.ext4", name.as_str())),
        size_mib: SIZE_MIB,
    }
}

/// A client of the host agent in the default machine; both are started where they do not run.
async fn connect_in_machine() -> Result<Client> {
    let name = MachineName::default();
    let machine = match Machine::find(&name)? {
        Some(machine) => machine,
        None => {
            let accelerator = machine::best_accelerator();
            let options = Options {
                data_disk: Some(data_disk(&name)),
                name,
                cpus: accelerator.cpus_default(),
                accelerator,
                ..Options::default()
            };
            start_machine(options).await?.machine()
        }
    };
    let machine = Arc::new(machine);
    let over = Arc::clone(&machine);
    let connect = move || {
        let machine = Arc::clone(&over);
        Box::pin(async move {
            let stream = machine
                .connect(Path::new(SOCKET_PATH))
                .await
                .map_err(std::io::Error::other)?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        }) as api::client::Connecting
    };
    let client = Client::over(Arc::new(connect), format!("{SOCKET_PATH} in the machine"));
    if client.open().await.is_err() {
        start_agent_in(&machine).await?;
    }
    Ok(client)
}

/// Runs this very executable in the machine, which sees the same files, to start the host agent there.
async fn start_agent_in(machine: &Machine) -> Result<()> {
    let own = std::env::current_exe().context("cannot find this executable")?;
    let argv = vec![own.display().to_string(), "agent".to_owned(), "--detach".to_owned()];
    let request = ExecRequest {
        argv,
        env: Vec::new(),
        working_directory: None,
        terminal: None,
    };
    let execution: Execution = machine.exec(request).await?;
    let (_sender, controls) = tokio::sync::mpsc::channel(1);
    let mut errors = Vec::new();
    let ended = execution
        .attach(tokio::io::empty(), tokio::io::sink(), &mut errors, controls)
        .await?;
    if ended != ExitStatus::Exited(0) {
        bail!(
            "the host agent did not start in the machine: {}",
            String::from_utf8_lossy(&errors).trim()
        );
    }
    Ok(())
}
