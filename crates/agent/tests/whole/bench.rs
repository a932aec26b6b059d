//! A host agent in this process: its directories, fakes around it, and the count of what it leaves behind.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use agent::config::{Config, OnExit};
use agent::core::Core;
use agent::images::{Archive, ImageConfig, Images, Progress, RunnableImage};
use agent::launch::{Cgroup, CgroupError, Cgroups};
use agent::ports::memory::{FileSecrets, MemoryRecords, MemorySinks};
use agent::server::{Claim, EndRequests, Server, Surroundings};
use agent::sizing::CpuLimit;
use api::client::Client;
use api::error::{ApiError, ErrorCode};
use api::image::{Image, ImageEvent, PullRequest};
use api::task::{RunRequest, Task};
use futures_util::future::BoxFuture;
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::script::Script;

/// A host agent, running.
pub struct Bench {
    pub directory: tempfile::TempDir,
    pub client: Client,
    pub cgroups: Arc<FakeCgroups>,
    pub images: Arc<FakeImages>,
    pub core: Arc<Core>,
    pub memory_pressure: watch::Sender<bool>,
    ends: mpsc::UnboundedSender<()>,
    server: JoinHandle<anyhow::Result<()>>,
}

/// The configuration of a host agent below `directory`, with the fake VMM.
pub fn config(directory: &Path) -> Config {
    Config {
        socket: directory.join("mote.sock"),
        state: directory.join("state"),
        runtime: directory.join("run"),
        cgroups: directory.join("cgroups"),
        kernel: directory.join("vmlinux"),
        initramfs: directory.join("script"),
        vmm: PathBuf::from(env!("CARGO_BIN_EXE_fake-vmm")),
        templates: Some(directory.join("templates")),
        pool: 0,
        consoles: None,
        insecure_registries: vec![],
        listen: agent::config::Listen::Nowhere,
        host_paths: vec![],
        idle_exit: None,
        on_exit: OnExit::Stop,
        has_network: false,
        network_subnet: None,
        memory_reserve_mib: 0,
        memory_overcommit: 1000,
        cpu_overcommit: 1000,
        metrics: agent::metrics::listener::Address::None,
    }
}

/// A request that the fake image fits.
pub fn request(change: impl FnOnce(&mut RunRequest)) -> RunRequest {
    let text = r#"{"image": "app", "vcpu_milli": 250, "memory_mib": 64, "command": ["run"]}"#;
    let mut request = serde_json::from_str(text).unwrap();
    change(&mut request);
    request
}

impl Bench {
    /// A host agent whose VMMs do what `script` says.
    pub async fn start(script: &Script) -> Self {
        Self::start_with(&[("script", script)], 0).await
    }

    /// A host agent with a pool of so many, whose VMMs do what the named scripts say.
    pub async fn start_with(scripts: &[(&str, &Script)], pool: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in [("vmlinux", "kernel"), ("part", "")] {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        for (name, script) in scripts {
            std::fs::write(directory.path().join(name), script.text()).unwrap();
        }
        Self::start_in(directory, pool).await
    }

    /// A host agent in a directory that has all files, also those of an earlier one.
    pub async fn start_in(directory: tempfile::TempDir, pool: usize) -> Self {
        let config = Config {
            pool,
            ..config(directory.path())
        };
        let cgroups = Arc::new(FakeCgroups {
            directory: directory.path().join("cgroups"),
            ..FakeCgroups::default()
        });
        let images = Arc::new(FakeImages {
            part: directory.path().join("part"),
            ..FakeImages::default()
        });
        let client = Client::unix(&config.socket);
        let claim = Claim::take(&config).unwrap();
        let memory_pressure = watch::Sender::new(false);
        let surroundings = Surroundings {
            cgroups: cgroups.clone(),
            images: images.clone(),
            memory_pressure: memory_pressure.subscribe(),
            records: Arc::new(MemoryRecords::default()),
            networks: None,
            sinks: Arc::new(MemorySinks::default()),
            secrets: Arc::new(FileSecrets),
        };
        let server = Server::start(config, surroundings, claim).await.unwrap();
        let core = server.core().clone();
        let (ends, mut requests) = mpsc::unbounded_channel();
        let server = tokio::spawn(async move { server.serve(&mut Requests(&mut requests)).await });
        Self {
            directory,
            client,
            cgroups,
            images,
            core,
            memory_pressure,
            ends,
            server,
        }
    }

    /// Creates and starts a task, and waits until it has stopped.
    pub async fn run(&self, change: impl FnOnce(&mut RunRequest)) -> Task {
        let task = self.client.create_task(&request(change)).await.unwrap();
        let mut attached = self.client.attach(&task.id).await.unwrap().split().0;
        loop {
            match attached.next().await.unwrap().expect("the stream ends with the task") {
                api::attach::Frame::Ended(task) => return *task,
                _ => continue,
            }
        }
    }

    /// Waits until a task has the status.
    pub async fn reach(&self, task: &str, status: api::task::Status) {
        while self.client.task(task).await.unwrap().status < status {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until so many clones wait.
    pub async fn waiting(&self, count: u32) {
        while self.core.pool().status().waiting != count {
            tokio::task::yield_now().await;
        }
    }

    /// How many templates were to be saved.
    pub fn builds(&self) -> usize {
        let builds = std::fs::read_to_string(self.directory.path().join("script.builds"));
        builds.unwrap_or_default().lines().count()
    }

    /// The template that is given out, or was last.
    pub fn template(&self) -> api::template::Template {
        self.core.templates().list().remove(0)
    }

    /// Ends as if the process was killed: nothing is cleaned up but what the end of the process's tasks ends.
    pub async fn die(self) -> tempfile::TempDir {
        self.server.abort();
        let _ = self.server.await;
        self.directory
    }

    /// Asks the host agent to end, once.
    pub fn ask_to_end(&self) {
        self.ends.send(()).unwrap();
    }

    /// Ends it, and checks that nothing is left of any task.
    pub async fn finish(self) {
        self.ask_to_end();
        self.server.await.unwrap().unwrap();
        let directory = self.directory.path();
        for left in ["run/microvms", "templates"] {
            let entries = std::fs::read_dir(directory.join(left)).map_or(0, Iterator::count);
            assert_eq!(entries, 0, "{left} is not empty");
        }
        assert!(!directory.join("mote.sock").exists(), "the socket is left over");
        assert_eq!(self.cgroups.living.load(Ordering::SeqCst), 0, "a cgroup is left over");
        for process in self.cgroups.processes.lock().unwrap().iter() {
            assert!(!Path::new(&format!("/proc/{process}")).exists(), "a VMM is left over");
        }
    }
}

struct Requests<'a>(&'a mut mpsc::UnboundedReceiver<()>);

impl EndRequests for Requests<'_> {
    async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

/// Cgroups that only remember what was asked of them.
#[derive(Default)]
pub struct FakeCgroups {
    directory: PathBuf,
    pub limits: Arc<Mutex<Vec<CpuLimit>>>,
    pub are_missing: AtomicBool,
    pub refuse_limits: AtomicBool,
    pub processes: Arc<Mutex<Vec<u32>>>,
    /// The bounds on memory, each with its cgroup.
    pub memory: Arc<Mutex<Vec<(String, u64)>>>,
    pub living: Arc<AtomicUsize>,
}

struct FakeCgroup {
    is_there: bool,
    path: PathBuf,
    limits: Option<Arc<Mutex<Vec<CpuLimit>>>>,
    memory: Arc<Mutex<Vec<(String, u64)>>>,
    processes: Arc<Mutex<Vec<u32>>>,
    living: Arc<AtomicUsize>,
}

impl Cgroups for FakeCgroups {
    fn check(&self) -> Result<(), CgroupError> {
        if self.are_missing.load(Ordering::SeqCst) {
            return Err(CgroupError::NotMounted {
                root: PathBuf::from("/nowhere"),
            });
        }
        Ok(())
    }

    fn create(&self, id: &str, memory_bytes_max: u64) -> Result<Box<dyn Cgroup>, CgroupError> {
        self.living.fetch_add(1, Ordering::SeqCst);
        self.memory.lock().unwrap().push((id.to_owned(), memory_bytes_max));
        let limits = (!self.refuse_limits.load(Ordering::SeqCst)).then(|| self.limits.clone());
        Ok(Box::new(FakeCgroup {
            is_there: true,
            path: self.directory.join(id),
            limits,
            memory: self.memory.clone(),
            processes: self.processes.clone(),
            living: self.living.clone(),
        }))
    }

    fn find(&self, _: &str) -> Result<Option<(Box<dyn Cgroup>, Vec<u32>)>, CgroupError> {
        Ok(None)
    }

    fn remove_leftovers(&self, _: &HashSet<String>) -> Result<usize, CgroupError> {
        Ok(0)
    }
}

impl Cgroup for FakeCgroup {
    fn path(&self) -> &Path {
        &self.path
    }

    fn limit_memory(&self, bytes_max: u64) -> Result<(), CgroupError> {
        let id = self.path.file_name().unwrap().display().to_string();
        self.memory.lock().unwrap().push((id, bytes_max));
        Ok(())
    }

    fn enter(&self, process: u32) -> Result<(), CgroupError> {
        self.processes.lock().unwrap().push(process);
        Ok(())
    }

    fn limit_cpu(&self, limit: CpuLimit) -> Result<(), CgroupError> {
        match &self.limits {
            Some(limits) => {
                limits.lock().unwrap().push(limit);
                Ok(())
            }
            None => Err(CgroupError::NotMounted {
                root: PathBuf::from("/nowhere"),
            }),
        }
    }

    fn leave(&mut self) {
        self.is_there = false;
    }

    fn remove(&mut self) -> Result<(), CgroupError> {
        if std::mem::take(&mut self.is_there) {
            self.living.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Drop for FakeCgroup {
    fn drop(&mut self) {
        self.remove().unwrap();
    }
}

/// One image, `app`; `slow` is never pulled to its end.
#[derive(Default)]
pub struct FakeImages {
    part: PathBuf,
    /// Pulls that are under way.
    pub pulls: watch::Sender<usize>,
}

struct Pull<'a>(&'a watch::Sender<usize>);

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|pulls| *pulls -= 1);
    }
}

fn image(name: &str, size_bytes: u64) -> Image {
    let digest = format!("sha256:{}", "0".repeat(64));
    Image {
        names: vec![name.to_owned()],
        digest,
        platform: "linux/amd64".into(),
        created: None,
        size_bytes,
        layers: 1,
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError {
        code: ErrorCode::ImageNotFound,
        message: format!("no image {name:?} in the store"),
    }
}

impl Images for FakeImages {
    fn list(&self) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        Box::pin(async { Ok(vec![image("app", 1)]) })
    }

    fn find<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<RunnableImage, ApiError>> {
        Box::pin(async move {
            if reference != "app" {
                return Err(not_found(reference));
            }
            Ok(RunnableImage {
                name: "docker.io/library/app:latest".into(),
                digest: image("app", 1).digest,
                config: ImageConfig {
                    stop_signal: "SIGQUIT".into(),
                    ..ImageConfig::default()
                },
                parts: vec![self.part.clone()],
                rootfs_bytes: 0,
                hold: Arc::new(()),
            })
        })
    }

    fn pull(&self, request: PullRequest, progress: Progress) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        Box::pin(async move {
            self.pulls.send_modify(|pulls| *pulls += 1);
            let _pull = Pull(&self.pulls);
            let resolved = ImageEvent::Resolved {
                digest: image("app", 1).digest,
                layers: vec![],
            };
            progress.send(resolved).await.unwrap();
            match request.reference.as_str() {
                "slow" => std::future::pending().await,
                "app" => Ok(vec![image("app", 1)]),
                other => Err(not_found(other)),
            }
        })
    }

    fn load(
        &self,
        mut archive: Archive,
        name: Option<String>,
        _: Progress,
    ) -> BoxFuture<'_, Result<Vec<Image>, ApiError>> {
        Box::pin(async move {
            let mut buffer = vec![0; 64 << 10];
            let mut size_bytes = 0;
            loop {
                match archive.read(&mut buffer).await.unwrap() {
                    0 => return Ok(vec![image(name.as_deref().unwrap_or("unnamed"), size_bytes)]),
                    len => size_bytes += len as u64,
                }
            }
        })
    }

    fn remove<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), ApiError>> {
        Box::pin(async move {
            if reference == "app/with/slashes:1" {
                Ok(())
            } else {
                Err(not_found(reference))
            }
        })
    }
}
