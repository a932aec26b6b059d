//! The process: its socket and lock, its signals, its orderly end.

mod adapters;
mod claim;
mod descriptors;
mod housekeeping;
mod logging;
mod observers;
mod outside;

use std::collections::HashSet;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::arguments::Arguments;
use crate::aws::Parts;
use crate::config::{Config, MetricsAddress, OnExit};
use crate::core::{self, Core};
use crate::events::images::ToldImages;
use crate::host::{self, Rooms, SCRATCH_MIB, Shared, remove_leftovers};
use crate::images::{Images, StoredImages};
use crate::launch::{Cells, CgroupV2, Cgroups, Launcher, OwnCgroup};
use crate::logs::{self, Logs};
use crate::metrics::host::Host;
use crate::network::TaskNetworks;
use crate::pool::{self, Pool, Work};
use crate::ports::{Networks, Records, Secrets, Sinks};
use crate::sentence::sentence;
use crate::template::{ScratchDisk, Templates};
use crate::{http, memory, system};

use adapters::Logged;
pub use claim::{Claim, ClaimError};
pub use descriptors::raise_limit;
use observers::Observers;
use outside::Outside;

/// The most output that is kept of one container, in bytes.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// The region that names of resources have.
const REGION: &str = "us-east-1";

/// How long clients that do not take their last answers are waited for.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs the host agent; the exit code of its process.
#[must_use]
pub fn run(arguments: Arguments) -> ExitCode {
    logging::begin(arguments.log_format);
    match try_run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not a log line: what a person who started it must see, whatever is logged.
            let _ = writeln!(std::io::stderr(), "mote-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(arguments: Arguments) -> anyhow::Result<()> {
    descriptors::raise_limit();
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let config = arguments.into_config(program.parent().unwrap_or(&program));
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    runtime.block_on(async {
        let cgroups = Arc::new(CgroupV2::new(config.cgroups.clone(), &config.runtime));
        let claim = Claim::take(&config)?;
        let _own = OwnCgroup::enter(&config.cgroups, &config.runtime);
        let images = Arc::new(StoredImages::open(&config)?);
        let mut ends = Ends::listen()?;
        let parts = Parts::open(&config.state, &config.database())?;
        let described = config.clone();
        let logs = Logs::new(config.logs_directory(), LOG_BYTES_MAX);
        let networks = TaskNetworks::prepare(&config, parts.store.clone()).map(Arc::new);
        let surroundings = Surroundings {
            cgroups,
            images: images.clone(),
            memory_pressure: pool::listen_for_pressure(),
            records: Arc::new(parts.store.clone()),
            networks: networks.clone().map(|networks| networks as Arc<dyn Networks>),
            sinks: Arc::new(logs.clone()),
            secrets: Arc::new(parts.secrets.clone()),
        };
        let mut server = Server::start(config, surroundings, claim).await?;
        let _metadata = match &networks {
            Some(networks) => networks.serve_metadata(server.core().clone(), REGION).await,
            None => None,
        };
        let store = parts.store.clone();
        server.stand_on(&described, parts, logs.clone()).await?;
        writeln!(std::io::stdout(), "ready")
            .and_then(|()| std::io::stdout().flush())
            .context("cannot say ready")?;
        let core = server.core();
        let more = logs::native::router(logs, Arc::new(Logged(core.clone())));
        let more = more.merge(http::images::router(images));
        let more = more.merge(http::networks::router(core.clone(), networks.clone()));
        let more = more.merge(system::router(core.clone(), store, described, networks));
        server.with(more).serve(&mut ends).await
    })
}

/// What ends a host agent.
pub trait EndRequests: Send {
    /// Waits until it is asked to end, once more.
    fn next(&mut self) -> impl Future<Output = ()> + Send;
}

/// The signals that end this process.
struct Ends {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Ends {
    fn listen() -> anyhow::Result<Self> {
        let open = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: open(SignalKind::terminate())?,
            interrupt: open(SignalKind::interrupt())?,
        })
    }
}

impl EndRequests for Ends {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What a host agent uses of its host, in the forms that tests have their own of.
pub struct Surroundings {
    /// What meters microVMs.
    pub cgroups: Arc<dyn Cgroups>,
    /// The images.
    pub images: Arc<dyn Images>,
    /// Whether memory is short.
    pub memory_pressure: watch::Receiver<bool>,
    /// Where tasks are stored.
    pub records: Arc<dyn Records>,
    /// What attaches tasks to the network, where there is any.
    pub networks: Option<Arc<dyn Networks>>,
    /// Where output is kept.
    pub sinks: Arc<dyn Sinks>,
    /// Where secrets are.
    pub secrets: Arc<dyn Secrets>,
}

/// A host agent that has its socket.
pub struct Server {
    core: Arc<Core>,
    networks: Option<Arc<dyn Networks>>,
    observers: Observers,
    metrics_address: MetricsAddress,
    cgroups: Arc<dyn Cgroups>,
    idle_exit: Option<Duration>,
    on_exit: OnExit,
    listener: UnixListener,
    pool: (Pool, Work, watch::Receiver<bool>),
    /// Routes of other parts.
    more: Router,
    /// What is served beside them, and over TCP.
    outside: Option<Outside>,
    // Goes last: until then nobody else may use the directories.
    claim: Claim,
}

impl Server {
    /// Takes over what a predecessor has left and somebody still needs, removes the rest, and starts to listen.
    ///
    /// # Errors
    /// What is in the way, as a sentence for a person.
    pub async fn start(config: Config, surroundings: Surroundings, mut claim: Claim) -> anyhow::Result<Self> {
        let Surroundings {
            cgroups,
            images,
            memory_pressure,
            records,
            networks,
            sinks,
            secrets,
        } = surroundings;
        let observers = Observers::new(&config.state);
        let metrics_address = config.metrics;
        let journal = observers.journal.clone();
        let images = Arc::new(ToldImages { images, journal });
        let boot_id = host::boot_id();
        let unfinished = records.unfinished().map_err(|error| anyhow::anyhow!(error))?;
        remove_leftovers(&config, cgroups.as_ref(), &core::kept_microvms(&unfinished, &boot_id))?;
        if let Some(networks) = &networks {
            let kept = networks.keep(&core::live_networks(&unfinished)).await;
            kept.map_err(|error| anyhow::anyhow!(error))?;
        }
        for directory in [config.microvms_directory(), config.scratch_directory()] {
            std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let listener = claim.listen(&config.socket)?;
        let directory = config.microvms_directory();
        let cells = Cells::prepare(&directory, config.users);
        let launcher = Arc::new(Launcher::new(config.vmm.clone(), directory, cgroups.clone(), cells));
        let scratch = Arc::new(ScratchDisk::new(config.scratch_directory(), SCRATCH_MIB, None));
        let templates = Templates::new(config.clone(), launcher.clone(), scratch.clone());
        // Where guests' kernels are to be heard, nothing is cloned.
        let pool_size = if config.consoles.is_some() { 0 } else { config.pool };
        let (pool, work) = Pool::new(pool_size, launcher.clone(), templates.clone());
        tracing::info!(socket = %config.socket.display(), pool = pool_size, "listening");
        let (idle_exit, on_exit) = (config.idle_exit, config.on_exit);
        let shared = Shared {
            rooms: Rooms::new(memory::room(&config)),
            config,
            cgroups: cgroups.clone(),
            launcher,
            scratch,
            templates,
            pool: pool.clone(),
            images,
            networks,
            sinks,
            secrets,
            boot_id,
        };
        let networks = shared.networks.clone();
        let core = Core::new(Arc::new(shared), records);
        core.restore(unfinished).map_err(|error| anyhow::anyhow!(error))?;
        Ok(Self {
            core,
            networks,
            observers,
            metrics_address,
            cgroups,
            idle_exit,
            on_exit,
            listener,
            pool: (pool, work, memory_pressure),
            more: Router::new(),
            outside: None,
            claim,
        })
    }

    /// Serves these routes, too.
    #[must_use]
    pub fn with(mut self, more: Router) -> Self {
        self.more = self.more.merge(more);
        self
    }

    /// Serves what stands on these parts, too: the calls of ECS and `CloudWatch` Logs, services, events; over TCP as well where `config` says so.
    ///
    /// # Errors
    /// What is in the way, as a sentence for a person.
    pub async fn stand_on(&mut self, config: &Config, parts: Parts, logs: Logs) -> anyhow::Result<()> {
        self.outside = Some(Outside::start(config, parts, &self.core, logs, &self.observers).await?);
        Ok(())
    }

    /// The core of the host agent that it serves.
    #[must_use]
    pub const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Serves until it is asked to end, or idle for long enough. Then it leaves all tasks to the next host agent, or stops them and leaves nothing behind
    /// but, where it was idle, the template: who was idle is likely to be needed again.
    ///
    /// # Errors
    /// Where the socket fails.
    pub async fn serve(self, ends: &mut impl EndRequests) -> anyhow::Result<()> {
        let Self {
            core,
            networks,
            observers,
            metrics_address,
            cgroups,
            idle_exit,
            on_exit,
            listener,
            pool: (pool, work, memory_pressure),
            more,
            outside,
            claim,
        } = self;
        let (ending, ended) = watch::channel(false);
        let more = outside
            .iter()
            .fold(more, |more, outside| more.merge(outside.local(&core)));
        let services = outside.as_ref().map(Outside::services);
        let source = || Host {
            core: core.clone(),
            services: services.clone(),
        };
        let router = observers.router(http::router(&core, more), source());
        observers
            .listen(metrics_address, source(), until(ended.clone()))
            .await?;
        if let Some((listener, router)) = outside.and_then(|outside| outside.remote(router.clone())) {
            tokio::spawn(serve_remote(listener, router, until(ended.clone())));
        }
        let stop_accepting = until(ended.clone());
        let serving = tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(stop_accepting)
                .await
        });
        let keeping = tokio::spawn(pool.keep(work, memory_pressure, until(ended)));
        let is_idle = tokio::select! {
            () = ends.next() => false,
            () = idle(&core, idle_exit) => true,
        };
        tracing::info!(is_idle, ?on_exit, "ending");
        match on_exit {
            OnExit::Keep => leave_tasks(&core).await,
            OnExit::Stop => end_tasks(&core, ends).await,
        }
        observers.end();
        ending.send_replace(true);
        // Clients get their last answers, but none can hold the process up.
        let farewell = tokio::time::timeout(FAREWELL, async {
            core.activity().none().await;
            serving.await
        });
        match farewell.await {
            Ok(served) => served?.context("the socket failed")?,
            Err(_) => tracing::warn!("ending although clients are still connected"),
        }
        keeping.await.context("the pool failed")?;
        core.templates().end(is_idle || on_exit == OnExit::Keep).await;
        if let Some(networks) = networks
            && let Err(error) = networks.end().await
        {
            tracing::warn!("something of the network is left over: {}", sentence(&*error));
        }
        if on_exit == OnExit::Stop {
            cgroups.remove_leftovers(&HashSet::new())?;
        }
        claim.release();
        Ok(())
    }
}

/// Waits until it is said that this ends.
async fn until(mut ended: watch::Receiver<bool>) {
    // A sender that is gone ends it too.
    let _ = ended.wait_for(|ending| *ending).await;
}

async fn idle(core: &Core, idle_exit: Option<Duration>) {
    match idle_exit {
        Some(duration) => core.activity().idle_for(duration).await,
        None => std::future::pending().await,
    }
}

/// Answers over TCP until `closing`.
async fn serve_remote(listener: TcpListener, router: Router, closing: impl Future<Output = ()> + Send + 'static) {
    let served = axum::serve(listener, router).with_graceful_shutdown(closing);
    if let Err(error) = served.await {
        tracing::error!(%error, "the listener failed");
    }
}

/// Leaves all tasks to the next host agent.
async fn leave_tasks(core: &Core) {
    core.leave_tasks().await;
    core.none_lives().await;
}

/// Stops all tasks: gracefully, and after a further request at once.
async fn end_tasks(core: &Core, ends: &mut impl EndRequests) {
    core.end_tasks(true).await;
    loop {
        tokio::select! {
            () = core.none_lives() => return,
            () = ends.next() => core.end_tasks(false).await,
        }
    }
}
