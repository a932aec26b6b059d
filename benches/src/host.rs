//! A host agent of the benchmark's own, with a store and a socket of its own, and clients of it.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::client::Client;
use api::task::RunRequest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::runtime::Runtime;

/// What a host agent is told besides where its files are.
pub const NO_POOL: &[&str] = &["--pool", "0"];

/// The same for one that boots every guest in full: there, nothing can be made.
pub const NO_TEMPLATE: &[&str] = &["--pool", "0", "--templates", "/proc/templates"];

/// How long to wait between looks at what nobody tells. Nothing that is measured waits so.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How often to look before it is an error.
const LOOKS_MAX: u32 = 6000;

/// The image of all benchmarks.
pub const IMAGE: &str = "busybox";

/// Where the installation that is measured lies, and the archive of its image.
pub struct Installation {
    /// `bin/` and `share/mote/`.
    pub prefix: PathBuf,
    /// The busybox image.
    pub archive: PathBuf,
}

impl Installation {
    /// As `cargo xtask bench` tells it.
    pub fn from_environment() -> Result<Self> {
        let variable = |name| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.with_context(|| format!("{name} is not set: use `cargo xtask bench`"))
        };
        Ok(Self {
            prefix: variable("MOTE_PREFIX")?,
            archive: variable("MOTE_IMAGE_BUSYBOX")?,
        })
    }

    /// A program of ours.
    pub fn program(&self, name: &str) -> PathBuf {
        self.prefix.join("bin").join(name)
    }

    /// A file of ours that is no program.
    pub fn share(&self, name: &str) -> PathBuf {
        self.prefix.join("share/mote").join(name)
    }
}

/// A host agent, ended when dropped.
pub struct Host {
    directory: PathBuf,
    mote: PathBuf,
    agent: Child,
    runtime: Runtime,
}

impl Host {
    /// Starts one with further `options` and gives it the image.
    pub fn start(installation: &Installation, options: &[&str]) -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("mote-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory).context("cannot make a directory for the host agent")?;
        let mut agent = Command::new(installation.program("mote-agent"))
            .args(["--socket".as_ref(), directory.join("mote.sock").as_os_str()])
            .args(["--state".as_ref(), directory.join("state").as_os_str()])
            .args(["--runtime".as_ref(), directory.join("run").as_os_str()])
            // What is measured is how much fits, not how much is promised.
            .args(["--memory-overcommit", "100", "--cpu-overcommit", "1000", "--on-exit", "stop"])
            .args(options)
            .env("MOTE_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run mote-agent")?;
        let mut line = String::new();
        let stdout = agent.stdout.take().context("mote-agent has no standard output")?;
        BufReader::new(stdout)
            .read_line(&mut line)
            .context("mote-agent is silent")?;
        if line.trim() != "ready" {
            bail!(
                "mote-agent did not come up: {}",
                agent.wait().context("cannot wait for it")?
            );
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let host = Self {
            directory,
            mote: installation.program("mote"),
            agent,
            runtime: runtime.context("cannot make a runtime for clients")?,
        };
        host.load(&installation.archive)?;
        Ok(host)
    }

    /// Gives it the image in an archive.
    pub fn load(&self, archive: &Path) -> Result<()> {
        self.mote(&["load", "--quiet", &archive.to_string_lossy()]).map(drop)
    }

    /// The address of a task that runs.
    pub fn address(&self, task: &str) -> Result<String> {
        let task = self.wait(self.client().task(task)).context("the task is gone")?;
        let network = task.network.context("the task has no network")?;
        Ok(network.address.to_string())
    }

    /// The host agent's process.
    pub fn process(&self) -> u32 {
        self.agent.id()
    }

    /// A client of its API.
    pub fn client(&self) -> Client {
        Client::unix(&self.directory.join("mote.sock"))
    }

    /// Waits for what a client does.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// `mote` as a client of this host agent.
    pub fn mote(&self, arguments: &[&str]) -> Result<String> {
        let host = format!("unix://{}", self.directory.join("mote.sock").display());
        let output = Command::new(&self.mote)
            .args(arguments)
            .env("MOTE_HOST", host)
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run mote")?;
        if !output.status.success() {
            bail!("mote {} failed: {}", arguments.join(" "), output.status);
        }
        String::from_utf8(output.stdout).context("mote printed something else than text")
    }

    /// Has the template made, and waits until the pool is full.
    pub fn prepare(&self) -> Result<()> {
        let client = self.client();
        self.wait(async {
            let request = api::template::BuildRequest::default();
            client.build_template(request).await.context("no template was made")?;
            for _ in 0..LOOKS_MAX {
                let pool = client.templates().await.context("the pool cannot be looked at")?.pool;
                if pool.waiting >= pool.size {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            bail!("the pool does not fill")
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let process = i32::try_from(self.agent.id()).ok().and_then(Pid::from_raw);
        // The machine around the benchmark goes as well; nothing depends on the outcome.
        if let Some(process) = process {
            let _ = kill_process(process, Signal::TERM);
        }
        let _ = self.agent.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The archive of an image that not every benchmark needs, as `cargo xtask bench` tells it.
pub fn image_archive(name: &str) -> Result<PathBuf> {
    let variable = format!("MOTE_IMAGE_{}", name.to_uppercase());
    let path = std::env::var_os(&variable).map(PathBuf::from);
    path.with_context(|| format!("{variable} is not set: use `cargo xtask bench`"))
}

/// The request for a container of the image.
pub fn request(name: &str, vcpu_milli: u32, memory_mib: u32, command: &[&str]) -> Result<RunRequest> {
    let document = json!({
        "image": IMAGE, "name": name, "vcpu_milli": vcpu_milli, "memory_mib": memory_mib, "command": command,
        "stop_timeout_seconds": 0,
    });
    serde_json::from_value(document).context("the API takes other requests")
}

/// The directory for what a benchmark makes besides, removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty directory.
    pub fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("mote-bench-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The machine around the benchmark goes as well.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
