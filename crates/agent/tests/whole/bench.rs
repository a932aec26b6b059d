//! A host agent in this process: its directories, what is asked of it, and the count of what it leaves behind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use agent::config::{Config, ImagesConfig, OnExit};
use agent::core::Core;
use agent::ports::memory::{FileSecrets, MemoryRecords, MemorySinks};
use agent::server::{Claim, EndRequests, Server, Surroundings};
use api::client::Client;
use api::task::{RunRequest, Task};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::fakes::{FakeCgroups, FakeImages};
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
        images: ImagesConfig::default(),
        listen: agent::config::Listen::Nowhere,
        host_paths: vec![],
        idle_exit: None,
        on_exit: OnExit::Stop,
        has_network: false,
        network_subnet: None,
        memory_reserve_mib: 0,
        memory_overcommit: 1000,
        cpu_overcommit: 1000,
        users: agent::config::Users::DEFAULT,
        metrics: agent::config::MetricsAddress::None,
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
        let cgroups = Arc::new(FakeCgroups::new(directory.path().join("cgroups")));
        let images = Arc::new(FakeImages::new(directory.path().join("part")));
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
