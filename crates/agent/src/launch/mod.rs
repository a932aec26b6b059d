//! VMMs as the host holds them: a process, and the runtime directory, cgroup and control connection that go with it.
//!
//! A VMM is started without a shape: it prepares what all microVMs of its origin have in common and waits to be told what to be. So those
//! that a task waits for and those of the pool are made alike, and all that one holds is named after itself, not after a task.

pub mod cgroup;
mod confine;
mod directory;
mod door;
mod ending;
mod frames;
mod held;
mod owners;
mod process;
#[expect(unsafe_code, reason = "no safe call gives birth into a control group")]
mod spawn;
mod spawner;
#[cfg(test)]
mod tests;
mod used;
#[expect(unsafe_code, reason = "a namespace of users takes a process of one thread")]
mod user_namespace;
mod vmm;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::attachments::OpenError;
use protocol::jail::Confinement;
use protocol::vmm::{Config, Control, Origin, Shape};
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

pub use cgroup::{Cgroup, CgroupError, CgroupV2, Cgroups, OccupiedCgroup, OwnCgroup};
pub use confine::Cells;
pub use ending::Traces;
pub use frames::{is_disconnect, read as read_frame, write as write_frame};
pub use held::{Held, Whereabouts};
pub use process::{End, VmmProcess};
pub use used::read as read_used;
pub use vmm::Vmm;

use confine::User;
use directory::{DirectoryError, RuntimeDirectory};
use spawn::Birth;
use spawner::{Spawned, Spawner};

use crate::clock;
use crate::record::Used;

/// The number under which a VMM inherits its control socket: its standard output, which it does not use otherwise. Its configuration
/// comes over standard input.
const CONTROL_DESCRIPTOR: i32 = 1;

/// The names of the sockets and files in a microVM's directory.
const CONTROL: &str = "control";
const VSOCK: &str = "vsock";
const STDERR: &str = "stderr";
const COUNTERS: &str = "counters";

/// What a VMM is started for.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Where its guest comes from.
    pub origin: Origin,
    /// What it is to be, where it is not told later.
    pub shape: Option<Shape>,
    /// What it may use of the host's memory.
    pub memory_bytes_max: u64,
    /// Whether directories of the host may be among what it is told to be.
    pub serves_directories: bool,
}

/// Why a VMM could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Its directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A socket.
    #[error("cannot make the socket {}", path.display())]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program.
    #[error("cannot start the VMM {}", path.display())]
    Spawn {
        /// The program.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What stands behind a device.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It ended before it was of use.
    #[error("the VMM ended early: {0}")]
    Ended(String),
}

/// Starts the VMMs of one host agent.
pub struct Launcher {
    spawner: Spawner,
    directory: PathBuf,
    cgroups: Arc<dyn Cgroups>,
    cells: Cells,
    /// Tells the microVMs of this host agent from those of earlier ones.
    era: u64,
    next: AtomicU64,
}

/// The events of a VMM, as they come.
pub type Events = BufReader<OwnedReadHalf>;

/// Room for the few events that come together, in bytes: every running task has so much.
const EVENTS_LEN: usize = 512;

impl Launcher {
    /// Starts `program`s, whose directories are in `directory`, and confines them with what `cells` has.
    #[must_use]
    pub fn new(program: PathBuf, directory: PathBuf, cgroups: Arc<dyn Cgroups>, cells: Cells) -> Self {
        let spawner = Spawner::new(program);
        // Whoever starts the first VMM is told what is wrong.
        let _ = spawner.prepare();
        Self {
            spawner,
            directory,
            cgroups,
            cells,
            era: clock::wall_ms(),
            next: AtomicU64::new(1),
        }
    }

    /// Starts a VMM, whose processes may use so much memory together. Without a shape it waits for one.
    ///
    /// # Errors
    /// [`LaunchError`]; nothing is left of it then.
    pub fn launch(&self, launch: Launch) -> Result<Vmm, LaunchError> {
        let Launch {
            origin,
            shape,
            memory_bytes_max,
            serves_directories,
        } = launch;
        let id = format!("{:x}.{}", self.era, self.next.fetch_add(1, Ordering::Relaxed));
        let directory = RuntimeDirectory::create(&self.directory.join(&id))?;
        let cgroup = self.cgroups.create(&id, memory_bytes_max)?;
        let user = self.cells.take_user();
        let held = Held {
            cgroup,
            directory,
            user,
        };

        let path = held.path().join(CONTROL);
        let (listener, connection) =
            listen_and_connect(&path).map_err(|source| LaunchError::Socket { path, source })?;
        let failed = |source| LaunchError::Spawn {
            path: self.spawner.program().to_owned(),
            source,
        };
        let stderr = File::create(held.stderr()).map_err(failed)?;
        // Where this process is killed before it has written the configuration, the VMM reads an empty one and ends.
        let (stdin, mut document) = io::pipe().map_err(failed)?;
        let namespaces = self.cells.namespaces();
        let user_namespace = self.cells.user_namespace().filter(|_| !serves_directories);
        let birth = Birth {
            program: self.spawner.path().map_err(failed)?,
            argument: c"-".to_owned(),
            standard: [stdin.into(), listener.into(), stderr.into()],
            is_alone: !namespaces.is_empty(),
            inherited: namespaces.iter().chain(user_namespace).cloned().collect(),
            cgroup: held.cgroup.directory(),
        };
        let Spawned { born, has_list } = self.spawner.bear(birth, !serves_directories).map_err(failed)?;
        let is_in_cgroup = born.is_in_cgroup;
        let process = VmmProcess::of(born).map_err(failed)?;
        if !is_in_cgroup {
            // It does nothing before it has its configuration, so nothing that it does escapes the cgroup.
            held.cgroup.enter(process.id())?;
        }
        let config = Config {
            origin,
            shape,
            counters: Some(held.counters()),
            control: Control::Descriptor(CONTROL_DESCRIPTOR),
            jail: Confinement {
                namespaces: namespaces.iter().map(|namespace| namespace.as_raw_fd()).collect(),
                user_namespace: user_namespace.map(|namespace| namespace.as_raw_fd()),
                user: held.user.as_ref().map(User::number),
                serves_directories,
                was_born_with_list: has_list,
            },
        };
        let bytes = serde_json::to_vec(&config).map_err(|error| failed(error.into()))?;
        // Far less than a pipe holds, so this does not wait. A VMM that ends without reading it tells why by its end.
        let _ = document.write_all(&bytes);
        let (events, requests) = connection.into_split();
        Ok(Vmm {
            id,
            // While the VMM starts.
            door: door::open(held.path())?,
            process,
            events: BufReader::with_capacity(EVENTS_LEN, events),
            requests,
            held,
        })
    }

    /// Whether the guest of the microVM `id` still has its door: then no host agent has told it what to be.
    #[must_use]
    pub fn has_door(&self, id: &str) -> bool {
        door::stands(&self.directory.join(id))
    }

    /// What the microVM `id` has used, though it may have ended while no host agent ran; `None` where nothing is left of it.
    #[must_use]
    pub fn used(&self, id: &str) -> Option<Used> {
        used::read(&self.cgroups.path(id), &self.directory.join(id).join(COUNTERS))
    }

    /// Ends what an earlier host agent has left of the microVM `id`, and removes it.
    ///
    /// # Errors
    /// [`LaunchError`]
    pub async fn discard(&self, id: &str) -> Result<(), LaunchError> {
        let directory = RuntimeDirectory::find(&self.directory.join(id));
        match self.cgroups.find(id)? {
            Some((cgroup, _)) => Held::found(cgroup, directory).release(id).await,
            None => directory.remove()?,
        }
        Ok(())
    }

    /// What an earlier host agent has left running: the microVM `id`, if it still does. Otherwise nothing is left of it then.
    ///
    /// # Errors
    /// [`LaunchError`]
    pub async fn find(&self, id: &str) -> Result<Option<Found>, LaunchError> {
        let directory = RuntimeDirectory::find(&self.directory.join(id));
        let Some((cgroup, processes)) = self.cgroups.find(id)? else {
            directory.remove()?;
            return Ok(None);
        };
        let path = directory.path().join(CONTROL);
        let connected = async {
            let number = processes.first().copied().unwrap_or_default();
            let process = VmmProcess::find(number)?;
            Ok::<_, io::Error>((process, UnixStream::connect(&path).await?))
        };
        match connected.await {
            Ok((process, connection)) => {
                let (events, requests) = connection.into_split();
                let user = self.cells.find_user(process.id());
                Ok(Some(Found {
                    process,
                    events: BufReader::with_capacity(EVENTS_LEN, events),
                    requests,
                    held: Held {
                        cgroup,
                        directory,
                        user,
                    },
                }))
            }
            // It ends, or nobody can speak with it: nobody will look after it again.
            Err(error) => {
                tracing::warn!(microvm = id, "a VMM of an earlier host agent does not answer: {error}");
                Held::found(cgroup, directory).release(id).await;
                Ok(None)
            }
        }
    }
}

/// A VMM that an earlier host agent has started and told what to be.
pub struct Found {
    /// The process.
    pub process: VmmProcess,
    /// What the VMM reports, from its beginning on.
    pub events: Events,
    /// How it is told something.
    pub requests: OwnedWriteHalf,
    /// What goes after the process.
    pub held: Held,
}

/// A control socket for a VMM, and the connection to it, which waits in its queue until the VMM takes it.
fn listen_and_connect(path: &Path) -> io::Result<(UnixListener, UnixStream)> {
    let listener = UnixListener::bind(path)?;
    let connection = StdStream::connect(path)?;
    connection.set_nonblocking(true)?;
    Ok((listener, UnixStream::from_std(connection)?))
}
