//! The process of a VMM: started without a copy of this one, or found again, and watched by a descriptor.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;

use std::os::unix::process::CommandExt;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::readiness::watch;

/// A process that may be waited for by several tasks. Dropping it kills the process, unless it was left.
#[derive(Debug)]
pub struct VmmProcess {
    id: u32,
    /// None where an earlier host agent started it: who waits for it then is the system.
    child: Option<Child>,
    end: End,
    is_over: bool,
}

/// The end of a process, for who only wants to know of it.
#[derive(Clone, Debug)]
pub struct End(Arc<AsyncFd<OwnedFd>>);

impl VmmProcess {
    /// Starts `program` with the argument `-`, and with `stdout` and `stderr` as its standard output and error; what leads to its standard input.
    ///
    /// Descriptors are passed as standard ones and nothing has to run between fork and exec: so the child shares our memory until it
    /// executes (`posix_spawn`), where it would otherwise begin with a copy of our page tables.
    pub fn spawn(program: &Path, stdout: OwnedFd, stderr: OwnedFd) -> io::Result<(Self, ChildStdin)> {
        let mut child = Command::new(program)
            .arg("-")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            // In a process group of its own: Ctrl-C on the host agent is not for it.
            .process_group(0)
            .spawn()?;
        // Not reaped yet, so the number still is this process's.
        let watched = End::of(child.id());
        match (watched, child.stdin.take()) {
            (Ok(end), Some(stdin)) => {
                let process = Self {
                    id: child.id(),
                    child: Some(child),
                    end,
                    is_over: false,
                };
                Ok((process, stdin))
            }
            (watched, _) => {
                child.kill()?;
                child.wait()?;
                Err(watched
                    .err()
                    .unwrap_or_else(|| io::Error::other("its standard input is missing")))
            }
        }
    }

    /// The process with this number, which an earlier host agent started. The caller makes sure that it is the one: by its cgroup, after this.
    pub fn find(id: u32) -> io::Result<Self> {
        Ok(Self {
            id,
            child: None,
            end: End::of(id)?,
            is_over: false,
        })
    }

    /// Its number.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Its end, for others to wait for.
    pub fn end(&self) -> End {
        self.end.clone()
    }

    /// Waits for its end; how it ended, where this process started it. Dropping the future loses nothing.
    pub async fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.end.reached().await?;
        // Does not block: there is something to reap.
        let status = self.child.as_mut().map(Child::wait).transpose()?;
        self.is_over = true;
        Ok(status)
    }

    /// Ends it at once; its end is then reached as any other.
    pub fn kill(&self) {
        // Fails only where the process has ended already.
        let _ = pidfd_send_signal(self.end.0.get_ref(), Signal::KILL);
    }

    /// Lets it run on when this value goes.
    pub fn leave(&mut self) {
        self.is_over = true;
    }
}

impl End {
    fn of(id: u32) -> io::Result<Self> {
        let number = i32::try_from(id).ok().and_then(Pid::from_raw);
        let number = number.ok_or_else(|| io::Error::other("it has no process number"))?;
        let pidfd = pidfd_open(number, PidfdFlags::empty())?;
        Ok(Self(Arc::new(watch(pidfd, Interest::READABLE)?)))
    }

    /// Waits for it.
    pub async fn reached(&self) -> io::Result<()> {
        // A process descriptor stays readable once its process has ended (pidfd_open(2)): the readiness is never cleared.
        self.0.readable().await.map(|mut guard| guard.retain_ready())
    }
}

impl Drop for VmmProcess {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.kill();
        // A process that was killed ends by itself, whoever waits; but it is ours to be reaped.
        if let Some(Err(error)) = self.child.as_mut().map(Child::wait) {
            tracing::error!(process = self.id, "a VMM cannot be waited for: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::os::unix::process::ExitStatusExt;

    fn cat() -> (VmmProcess, ChildStdin) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        VmmProcess::spawn(Path::new("/bin/cat"), ours.into(), theirs.into()).unwrap()
    }

    #[tokio::test]
    async fn its_end_is_seen_by_all_who_wait() {
        let (mut process, stdin) = cat();
        let end = process.end();
        let others = tokio::spawn(async move { end.reached().await });
        drop(stdin);
        assert_eq!(process.wait().await.unwrap().unwrap().code(), Some(0));
        others.await.unwrap().unwrap();
        process.end().reached().await.unwrap();
    }

    #[tokio::test]
    async fn a_kill_ends_it() {
        let (mut process, _stdin) = cat();
        process.kill();
        assert_eq!(process.wait().await.unwrap().unwrap().signal(), Some(9));
    }

    #[tokio::test]
    async fn dropping_it_leaves_no_process() {
        let (process, _stdin) = cat();
        let path = format!("/proc/{}", process.id());
        assert!(Path::new(&path).exists());
        drop(process);
        assert!(!Path::new(&path).exists());
    }

    #[tokio::test]
    async fn a_process_that_is_left_runs_on_and_is_found_again() {
        let (mut process, _stdin) = cat();
        process.leave();
        let mut found = VmmProcess::find(process.id()).unwrap();
        found.kill();
        // It is our child still, so somebody else's wait does not tell how it ended.
        assert_eq!(found.wait().await.unwrap(), None);
        drop(process);
    }
}
