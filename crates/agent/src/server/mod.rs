//! The process: its socket and lock, its signals, its orderly end.

mod claim;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::agent::Agent;
use crate::arguments::Arguments;
use crate::config::Config;
use crate::host::{CgroupV2, Cgroups, Shared, Templates, remove_leftovers};
use crate::images::{Images, StoredImages};
use crate::{http, tasks};

pub use claim::{Claim, ClaimError};

/// Where the environment says what is logged.
const LOG_VARIABLE: &str = "MOTE_LOG";

/// How long clients that do not take their last answers are waited for.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs the host agent; the exit code of its process.
#[must_use]
pub fn run(arguments: Arguments) -> ExitCode {
    let filter = EnvFilter::builder()
        .with_env_var(LOG_VARIABLE)
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
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
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let config = arguments.into_config(program.parent().unwrap_or(&program));
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    runtime.block_on(async {
        let cgroups = Arc::new(CgroupV2::new(config.cgroups.clone(), &config.runtime));
        let claim = Claim::take(&config)?;
        let images = Arc::new(StoredImages::open(&config)?);
        let mut ends = Ends::listen()?;
        let server = Server::start(config, cgroups, images, claim)?;
        writeln!(std::io::stdout(), "ready")
            .and_then(|()| std::io::stdout().flush())
            .context("cannot say ready")?;
        server.serve(&mut ends).await
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

/// A host agent that has its socket.
pub struct Server {
    agent: Arc<Agent>,
    cgroups: Arc<dyn Cgroups>,
    idle_exit: Option<Duration>,
    listener: UnixListener,
    // Goes last: until then nobody else may use the directories.
    claim: Claim,
}

impl Server {
    /// Cleans up after a predecessor and starts to listen.
    ///
    /// # Errors
    /// What is in the way, as a sentence for a person.
    pub fn start(
        config: Config,
        cgroups: Arc<dyn Cgroups>,
        images: Arc<dyn Images>,
        mut claim: Claim,
    ) -> anyhow::Result<Self> {
        remove_leftovers(&config, cgroups.as_ref())?;
        let listener = claim.listen(&config.socket)?;
        let idle_exit = config.idle_exit;
        let all_cgroups = cgroups.clone();
        let templates = Templates::new(config.scratch_directory());
        tracing::info!(socket = %config.socket.display(), "listening");
        let agent = Agent::new(
            Arc::new(Shared {
                config,
                cgroups,
                templates,
            }),
            images,
        );
        Ok(Self {
            agent,
            cgroups: all_cgroups,
            idle_exit,
            listener,
            claim,
        })
    }

    /// Serves until it is asked to end, or idle for long enough; then stops all tasks and leaves nothing behind.
    ///
    /// # Errors
    /// Where the socket fails.
    pub async fn serve(self, ends: &mut impl EndRequests) -> anyhow::Result<()> {
        let Self {
            agent,
            cgroups,
            idle_exit,
            listener,
            claim,
        } = self;
        let (ending, mut ended) = watch::channel(false);
        let stop_accepting = async move {
            // A sender that is gone ends it too.
            let _ = ended.wait_for(|ending| *ending).await;
        };
        let router = http::router(&agent);
        let serving = tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(stop_accepting)
                .await
        });
        tokio::select! {
            () = ends.next() => tracing::info!("asked to end"),
            () = idle(&agent, idle_exit) => tracing::info!("idle: ending"),
        }
        end_tasks(&agent, ends).await;
        ending.send_replace(true);
        // Clients get their last answers, but none can hold the process up.
        let farewell = tokio::time::timeout(FAREWELL, async {
            agent.activity.none().await;
            serving.await
        });
        match farewell.await {
            Ok(served) => served?.context("the socket failed")?,
            Err(_) => tracing::warn!("ending although clients are still connected"),
        }
        cgroups.remove_leftovers()?;
        claim.release();
        Ok(())
    }
}

async fn idle(agent: &Agent, idle_exit: Option<Duration>) {
    match idle_exit {
        Some(duration) => agent.activity.idle_for(duration).await,
        None => std::future::pending().await,
    }
}

/// Stops all tasks: gracefully, and after a further request at once.
async fn end_tasks(agent: &Agent, ends: &mut impl EndRequests) {
    agent.tasks.close(&tasks::agent_ends(true)).await;
    loop {
        tokio::select! {
            () = agent.tasks.none_lives() => return,
            () = ends.next() => agent.tasks.close(&tasks::agent_ends(false)).await,
        }
    }
}
