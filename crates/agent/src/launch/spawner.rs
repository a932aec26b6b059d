//! The thread that has VMMs born under their list of system calls.
//!
//! To load that list takes the kernel longer than all else that confines a VMM, and to give up one capability after the other comes next. Both are handed
//! down to children, so it is done once, in a thread that does nothing else than have them born. The list is the program's own: when the program
//! changes, so does the thread.

use std::ffi::CString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use protocol::jail::{self, BIRTH_LIST, CallList};
use rustix::thread::{CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities};

use super::spawn::{self, Birth, Born};

/// The capabilities that a VMM begins with: it enters namespaces, and becomes another user. Then it has none.
const TO_CONFINE_ITSELF: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID);

/// Starts one program.
pub struct Spawner {
    program: PathBuf,
    // Taken for moments, whenever a VMM is started.
    thread: Mutex<Option<Thread>>,
}

/// A process of it.
pub struct Spawned {
    /// The process.
    pub born: Born,
    /// Whether the kernel judges it by its list of system calls already, and what it executes gets no capability.
    pub has_list: bool,
}

/// The thread; it ends when nothing more can be asked of it.
struct Thread {
    identity: Identity,
    requests: Sender<Request>,
}

struct Request {
    birth: Birth,
    answer: SyncSender<io::Result<Spawned>>,
}

/// What tells a program from the one that comes to stand in its place: device, inode, length, and when it was changed.
type Identity = [i128; 5];

impl Spawner {
    /// Starts `program`, now and then.
    pub const fn new(program: PathBuf) -> Self {
        Self {
            program,
            thread: Mutex::new(None),
        }
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The program, as it is executed.
    ///
    /// # Errors
    /// Where its path holds a zero byte.
    pub fn path(&self) -> io::Result<CString> {
        CString::new(self.program.as_os_str().as_bytes()).map_err(Into::into)
    }

    /// Has a process of it born, under its list of system calls where it has one and is `listed`: one that serves directories needs more.
    ///
    /// # Errors
    /// The system's. There is no process then.
    pub fn bear(&self, birth: Birth, listed: bool) -> io::Result<Spawned> {
        if !listed {
            let has_list = false;
            return spawn::bear(&birth).map(|born| Spawned { born, has_list });
        }
        let requests = self.requests()?;
        let (answer, answered) = sync_channel(1);
        let lost = || io::Error::other("the thread that starts VMMs has ended");
        requests.send(Request { birth, answer }).map_err(|_| lost())?;
        answered.recv().map_err(|_| lost())?
    }

    /// Makes the thread ready, so that the first process need not wait for it.
    ///
    /// # Errors
    /// Where the program is not there.
    pub fn prepare(&self) -> io::Result<()> {
        self.requests().map(drop)
    }

    fn requests(&self) -> io::Result<Sender<Request>> {
        let identity = identity(&self.program.metadata()?);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.as_ref().filter(|thread| thread.identity == identity) {
            return Ok(thread.requests.clone());
        }
        let (requests, requested) = channel();
        let program = self.program.clone();
        thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || serve(&program, &requested))?;
        *thread = Some(Thread {
            identity,
            requests: requests.clone(),
        });
        Ok(requests)
    }
}

/// The life of the thread.
fn serve(program: &Path, requested: &Receiver<Request>) {
    let loaded = list_of(program).and_then(|list| {
        // Without this only root may load it.
        rustix::thread::set_no_new_privs(true)?;
        if rustix::process::geteuid().is_root() {
            hand_few_capabilities_down()?;
        }
        jail::load(&list)
    });
    if let Err(error) = &loaded {
        tracing::warn!("VMMs load their list of system calls by themselves, which takes longer: {error}");
    }
    for Request { birth, answer } in requested {
        let spawned = spawn::bear(&birth).map(|born| Spawned {
            born,
            has_list: loaded.is_ok(),
        });
        // Whoever asked waits.
        let _ = answer.send(spawned);
    }
}

/// Programs that this thread's children execute have no other capabilities than those that confining themselves takes, and theirs none.
fn hand_few_capabilities_down() -> io::Result<()> {
    let mut own = capabilities(None)?;
    own.inheritable = own.permitted & TO_CONFINE_ITSELF;
    // First: what is not in the bounding set any more cannot become inheritable.
    set_capabilities(None, own)?;
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // This kernel does not know it.
            Err(rustix::io::Errno::INVAL) => (),
            removed => removed?,
        }
    }
    Ok(())
}

/// What the program says that it needs.
fn list_of(program: &Path) -> io::Result<CallList> {
    let output = Command::new(program)
        .arg(BIRTH_LIST)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other("it has none"));
    }
    serde_json::from_slice(&output.stdout).map_err(Into::into)
}

fn identity(metadata: &Metadata) -> Identity {
    [
        metadata.dev().into(),
        metadata.ino().into(),
        metadata.len().into(),
        metadata.mtime().into(),
        metadata.mtime_nsec().into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use rustix::process::{WaitId, WaitIdOptions, waitid};
    use std::os::fd::AsFd;

    /// A program with that list, which tells whether the kernel judges it.
    fn program(directory: &Path, list: &str) -> PathBuf {
        let path = directory.join("program");
        let text = format!(
            "#!/bin/sh\nif [ $1 = {BIRTH_LIST} ]; then echo '{list}'; else grep -E '^(Seccomp|CapPrm|CapBnd):' /proc/self/status; fi\n"
        );
        // In place of the one before, at once.
        let new = directory.join("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    fn output_of(spawner: &Spawner) -> (String, bool) {
        let (mut output, theirs) = io::pipe().unwrap();
        let (stdin, error) = (io::pipe().unwrap().0, theirs.try_clone().unwrap());
        let birth = Birth {
            program: spawner.path().unwrap(),
            argument: c"-".to_owned(),
            standard: [stdin.into(), theirs.into(), error.into()],
            inherited: Vec::new(),
            cgroup: None,
            is_alone: false,
        };
        let Spawned { born, has_list } = spawner.bear(birth, true).unwrap();
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        waitid(WaitId::PidFd(born.descriptor.as_fd()), WaitIdOptions::EXITED).unwrap();
        (text, has_list)
    }

    /// A list that allows everything.
    const ANYTHING: &str = "[[6,0,0,2147418112]]";

    #[test]
    fn a_process_is_born_under_the_list_of_its_program() {
        let directory = tempfile::tempdir().unwrap();
        let spawner = Spawner::new(program(directory.path(), ANYTHING));
        spawner.prepare().unwrap();
        let (status, has_list) = output_of(&spawner);
        assert!(has_list && status.contains("Seccomp:\t2\n"), "{status}");
        // This thread has none.
        let own = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert!(own.contains("Seccomp:\t0\n"));
        // The usual user has no capability to begin with.
        if rustix::process::geteuid().is_root() {
            assert!(status.contains("CapPrm:\t00000000002400c0\n"), "{status}");
            // And it cannot get another one.
            assert!(status.contains("CapBnd:\t0000000000000000\n"), "{status}");
        }
    }

    #[test]
    fn another_program_in_its_place_has_its_own_list_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let spawner = Spawner::new(program(directory.path(), ANYTHING));
        assert!(output_of(&spawner).1);
        program(directory.path(), "");
        let (status, has_list) = output_of(&spawner);
        assert!(!has_list && status.contains("Seccomp:\t0\n"), "{status}");
        program(directory.path(), ANYTHING);
        assert!(output_of(&spawner).1);
    }

    #[test]
    fn a_program_that_is_not_there_is_told() {
        let spawner = Spawner::new(PathBuf::from("/nonexistent/program"));
        assert_eq!(spawner.prepare().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
