//! What stands behind a device on the host, and what it does while the guest goes about its device.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use devices::discard::Discard;
use devices::fs::Shown;
use devices::net::{Link, Offloads};
use devices::vsock::HostSide;
use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

use super::bytes::Bytes;
use super::locked;

/// The length of a disk.
pub(super) const DISK_BYTES: u64 = 64 << 10;
/// The most ends of connections that the host keeps.
const ENDS_MAX: usize = 8;
/// Behind this port nobody is.
const NOBODY: u32 = 79;

/// One for all: to make a new one for each script takes longer than the script does.
static DISK: LazyLock<File> = LazyLock::new(|| tempfile::tempfile().expect("a file"));
static WRITTEN: LazyLock<File> = LazyLock::new(|| tempfile::tempfile().expect("a file"));

thread_local! {
    /// One for a thread, with the end of which it goes.
    static DIRECTORY: TempDir = {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("file"), [7; 5000]).expect("a file");
        fs::create_dir(directory.path().join("directory")).expect("a directory");
        std::os::unix::fs::symlink("file", directory.path().join("link")).expect("a link");
        directory
    };
}

/// Tells the listeners of this process from one another.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Ends of connections, which the device's side adds to and the script uses: both in one thread, one after the other.
type Ends = Arc<Mutex<Vec<UnixStream>>>;

/// The host.
pub(super) struct Host {
    ends: Ends,
    address: Option<SocketAddr>,
    wire: Option<UnixDatagram>,
}

impl Host {
    pub(super) fn new() -> Self {
        Self {
            ends: Ends::default(),
            address: None,
            wire: None,
        }
    }

    pub(super) fn file(&self) -> File {
        DISK.set_len(DISK_BYTES).expect("a file");
        DISK.try_clone().expect("a descriptor")
    }

    pub(super) fn empty_file(&self) -> File {
        WRITTEN.set_len(0).expect("a file");
        WRITTEN.try_clone().expect("a descriptor")
    }

    /// Read-only: a request for room would be granted by the host's own disk.
    pub(super) fn directory(&self) -> Shown {
        let open = |path: &Path| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        Shown {
            root: Arc::new(DIRECTORY.with(|directory| open(directory.path())).expect("a directory")),
            descriptors: open(Path::new("/proc/self/fd")).expect("a directory"),
            is_read_only: true,
        }
    }

    pub(super) fn wire(&mut self) -> Wire {
        let (near, far) = UnixDatagram::pair().expect("a pair of sockets");
        near.set_nonblocking(true).expect("a socket");
        far.set_nonblocking(true).expect("a socket");
        self.wire = Some(far);
        Wire(near)
    }

    pub(super) fn services(&self) -> Services {
        Services(Arc::clone(&self.ends))
    }

    pub(super) fn listener(&mut self) -> UnixListener {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("mote-hostile-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).expect("a name");
        let listener = UnixListener::bind_addr(&address).expect("a free name");
        self.address = Some(address);
        listener
    }

    /// Does something that a host program might, or the network.
    pub(super) fn act(&mut self, script: &mut Bytes<'_>) {
        let (what, count) = (script.below(8), usize::from(script.u8()));
        if let Some(wire) = &self.wire {
            let _ = wire.send(&vec![0; count * 32]);
            let _ = wire.recv(&mut [0; 64]);
        }
        let mut ends = locked(&self.ends);
        match (what, &self.address) {
            (0 | 1, Some(address)) => {
                let greeting = if what == 0 { "CONNECT 1024\n" } else { "CONNECT x" };
                if let Ok(mut end) = UnixStream::connect_addr(address) {
                    let _ = end.write_all(greeting.as_bytes());
                    keep(&mut ends, end);
                }
            }
            (2, _) if !ends.is_empty() => drop(ends.remove(0)),
            (3, _) => {
                let _ = ends.first().map(|end| end.shutdown(Shutdown::Write));
            }
            (4 | 5, _) => {
                let _ = ends.last_mut().map(|end| end.read(&mut vec![0; count * 64]));
            }
            _ => {
                let _ = ends.last_mut().map(|end| end.write(&vec![1; count * 64]));
            }
        }
    }
}

/// Keeps an end, and forgets the oldest where there are too many.
fn keep(ends: &mut Vec<UnixStream>, end: UnixStream) {
    let _ = end.set_nonblocking(true);
    if ends.len() == ENDS_MAX {
        ends.remove(0);
    }
    ends.push(end);
}

/// The network: what is sent comes out at the other end, as long as there is room.
pub(super) struct Wire(UnixDatagram);

impl Link for Wire {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn set_offloads(&self, _offloads: Offloads) -> io::Result<()> {
        Ok(())
    }
}

/// Programs behind all ports but one.
pub(super) struct Services(Ends);

impl HostSide for Services {
    fn connect(&mut self, port: u32) -> io::Result<UnixStream> {
        if port == NOBODY {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = UnixStream::pair()?;
        keep(&mut locked(&self.0), far);
        Ok(near)
    }
}

/// Takes no memory back.
pub(super) struct Nothing;

impl Discard for Nothing {
    fn discard(&self, start: u64, bytes: u64) {
        assert!(bytes > 0 && start.is_multiple_of(4096) && bytes.is_multiple_of(4096));
        assert!(start.checked_add(bytes).is_some());
    }
}
