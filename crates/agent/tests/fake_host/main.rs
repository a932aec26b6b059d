//! A host agent for tests that kill it, and for benchmarks: the real one but for cgroups, which are directories with lists of processes, images, of
//! which there is one, and the network, of which there is none.
//!
//! `fake-host DIRECTORY keep|stop [ROOM_MIB]`, with the fake VMM, whose script is `DIRECTORY/script`; tasks get `ROOM_MIB` of memory together, or what
//! they ask for. `fake-host DIRECTORY copy COUNT` is no host agent, but [`history`].

#![forbid(unsafe_code)]

mod history;

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::aws::Parts;
use agent::config::{Config, ImagesConfig, OnExit};
use agent::images::{Archive, ImageConfig, Images, ImagesPruned, ImagesUsage, Progress, Prunable, RunnableImage};
use agent::launch::{Cgroup, CgroupError, Cgroups};
use agent::logs::Logs;
use agent::memory;
use agent::server::{Claim, EndRequests, Server, Surroundings, raise_limit};
use agent::sizing::CpuLimit;
use api::error::{ApiError, ErrorCode};
use api::image::{Image, PullRequest};
use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The most output that is kept of one container, in bytes.
const LOG_BYTES_MAX: u64 = 64 << 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [directory, "copy", count] => history::copy(&config(directory.as_ref(), OnExit::Keep, None)?, count.parse()?),
        [directory, "keep"] => serve(directory.as_ref(), OnExit::Keep, None).await,
        [directory, "stop"] => serve(directory.as_ref(), OnExit::Stop, None).await,
        [directory, "stop", room_mib] => serve(directory.as_ref(), OnExit::Stop, Some(room_mib.parse()?)).await,
        _ => anyhow::bail!("usage: fake-host DIRECTORY keep|stop [ROOM_MIB], or fake-host DIRECTORY copy COUNT"),
    }
}

async fn serve(directory: &Path, on_exit: OnExit, room_mib: Option<u64>) -> anyhow::Result<()> {
    raise_limit();
    let config = config(directory, on_exit, room_mib)?;
    let claim = Claim::take(&config)?;
    let parts = Parts::open(&config.state, &config.database())?;
    let logs = Logs::new(config.logs_directory(), LOG_BYTES_MAX);
    let surroundings = Surroundings {
        cgroups: Arc::new(FileCgroups {
            parent: directory.join("cgroups"),
        }),
        images: Arc::new(OneImage {
            part: directory.join("part"),
        }),
        memory_pressure: watch::Sender::new(false).subscribe(),
        records: Arc::new(parts.store.clone()),
        networks: None,
        sinks: Arc::new(logs.clone()),
        secrets: Arc::new(parts.secrets.clone()),
    };
    let described = config.clone();
    let mut server = Server::start(config, surroundings, claim).await?;
    server.stand_on(&described, parts, logs).await?;
    let mut end_requests = Terminate(signal(SignalKind::terminate())?);
    writeln!(std::io::stdout(), "ready")?;
    server.serve(&mut end_requests).await
}

fn config(directory: &Path, on_exit: OnExit, room_mib: Option<u64>) -> anyhow::Result<Config> {
    let program = std::env::current_exe()?;
    // Without a bound, a thousand times what there is: nobody uses any.
    let (reserve_mib, overcommit) = match room_mib {
        Some(room_mib) => (memory::total_mib().saturating_sub(room_mib), 1),
        None => (0, 1000),
    };
    Ok(Config {
        socket: directory.join("mote.sock"),
        state: directory.join("state"),
        runtime: directory.join("run"),
        cgroups: directory.join("cgroups"),
        kernel: directory.join("vmlinux"),
        initramfs: directory.join("script"),
        vmm: program.with_file_name("fake-vmm"),
        templates: Some(directory.join("templates")),
        pool: 1,
        consoles: None,
        images: ImagesConfig::default(),
        listen: agent::config::Listen::Nowhere,
        host_paths: vec![],
        idle_exit: None,
        on_exit,
        has_network: false,
        network_subnet: None,
        metrics: agent::config::MetricsAddress::None,
        memory_reserve_mib: reserve_mib,
        memory_overcommit: overcommit,
        cpu_overcommit: 1000,
        users: agent::config::Users::DEFAULT,
    })
}

struct Terminate(tokio::signal::unix::Signal);

impl EndRequests for Terminate {
    async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// Directories, each with a list of processes.
struct FileCgroups {
    parent: PathBuf,
}

struct FileCgroup {
    path: PathBuf,
    is_there: bool,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> CgroupError + use<> {
    let path = path.to_owned();
    move |source| CgroupError::Io {
        attempted: "use the directory",
        path,
        source,
    }
}

/// The processes in the list that live and are ours.
fn processes(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path.join("procs")).unwrap_or_default();
    let ours = |process: &u32| {
        let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        status.contains("(fake-vmm)") && !status.contains(") Z ")
    };
    text.lines().filter_map(|line| line.parse().ok()).filter(ours).collect()
}

fn remove(path: &Path) -> Result<(), CgroupError> {
    for process in processes(path) {
        if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
            // It may have ended meanwhile.
            let _ = kill_process(process, Signal::KILL);
        }
    }
    fs::remove_dir_all(path).map_err(failed(path))
}

impl Cgroups for FileCgroups {
    fn check(&self) -> Result<(), CgroupError> {
        Ok(())
    }

    fn create(&self, id: &str, _: u64) -> Result<Box<dyn Cgroup>, CgroupError> {
        let path = self.parent.join(id);
        fs::create_dir_all(&path).map_err(failed(&path))?;
        Ok(Box::new(FileCgroup { path, is_there: true }))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.parent.join(id)
    }

    fn find(&self, id: &str) -> Result<Option<(Box<dyn Cgroup>, Vec<u32>)>, CgroupError> {
        let path = self.parent.join(id);
        let processes = processes(&path);
        if processes.is_empty() {
            return Ok(None);
        }
        Ok(Some((Box::new(FileCgroup { path, is_there: true }), processes)))
    }

    fn remove_leftovers(&self, kept: &HashSet<String>) -> Result<usize, CgroupError> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.parent).into_iter().flatten().flatten() {
            if !kept.contains(entry.file_name().to_string_lossy().as_ref()) {
                remove(&entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl Cgroup for FileCgroup {
    fn path(&self) -> &Path {
        &self.path
    }

    fn directory(&self) -> Option<OwnedFd> {
        None
    }

    fn enter(&self, process: u32) -> Result<(), CgroupError> {
        let path = self.path.join("procs");
        fs::write(&path, format!("{process}\n")).map_err(failed(&path))
    }

    fn limit_memory(&self, _: u64) -> Result<(), CgroupError> {
        Ok(())
    }

    fn limit_cpu(&self, _: CpuLimit) -> Result<(), CgroupError> {
        Ok(())
    }

    fn remove(&mut self) -> Result<(), CgroupError> {
        self.is_there = false;
        remove(&self.path)
    }

    fn leave(&mut self) {
        self.is_there = false;
    }
}

impl Drop for FileCgroup {
    fn drop(&mut self) {
        if self.is_there {
            let _ = remove(&self.path);
        }
    }
}

/// One image, under every name.
struct OneImage {
    part: PathBuf,
}

fn none<T>() -> BoxFuture<'static, Result<T, ApiError>> {
    Box::pin(async {
        Err(ApiError {
            code: ErrorCode::ImageNotFound,
            message: "there is one image only".to_owned(),
        })
    })
}

impl Images for OneImage {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        Box::pin(async { Ok(vec![]) })
    }

    fn find<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<RunnableImage, ApiError>> {
        Box::pin(async move {
            Ok(RunnableImage {
                name: reference.to_owned(),
                digest: format!("sha256:{}", "0".repeat(64)),
                config: ImageConfig::default(),
                parts: vec![self.part.clone()],
                rootfs_bytes: 0,
                hold: Arc::new(()),
            })
        })
    }

    fn pull(&self, _: PullRequest, _: Progress) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        none()
    }

    fn load(&self, _: Archive, _: Option<String>, _: Progress) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        none()
    }

    fn remove<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), ApiError>> {
        none()
    }

    fn prune(&self, _: Prunable) -> BoxFuture<'_, Result<ImagesPruned, ApiError>> {
        none()
    }

    fn usage(&self, _: HashSet<String>) -> BoxFuture<'_, Result<ImagesUsage, ApiError>> {
        none()
    }
}
