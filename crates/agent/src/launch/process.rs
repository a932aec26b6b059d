//! The process of a VMM: started without a copy of this one, and watched by a descriptor.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;

use std::os::unix::process::CommandExt;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::ChildStderr;

use crate::readiness::watch;

/// A process that may be waited for by several tasks. Dropping it kills the process.
#[derive(Debug)]
pub struct VmmProcess {
    child: Child,
    end: End,
    is_reaped: bool,
}

/// The end of a process, for who only wants to know of it.
#[derive(Clone, Debug)]
pub struct End(Arc<AsyncFd<OwnedFd>>);

/// The ends of the pipes to a process that was just started.
#[derive(Debug)]
pub struct Pipes {
    /// To its standard input.
    pub stdin: ChildStdin,
    /// From its standard error.
    pub stderr: ChildStderr,
}

impl VmmProcess {
    /// Starts `program` with the argument `-`, and with `stdout` as its standard output.
    ///
    /// Descriptors are passed as standard ones and nothing has to run between fork and exec: so the child shares our memory until it
    /// executes (`posix_spawn`), where it would otherwise begin with a copy of our page tables.
    pub fn spawn(program: &Path, stdout: OwnedFd) -> io::Result<(Self, Pipes)> {
        let mut child = Command::new(program)
            .arg("-")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            // In a process group of its own: Ctrl-C on the host agent is not for it.
            .process_group(0)
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stderr.take());
        // Not reaped yet, so the number still is this process's.
        let watched = pidfd(&child).and_then(|pidfd| watch(pidfd, Interest::READABLE));
        match (watched, pipes) {
            (Ok(watched), Some((stdin, stderr))) => {
                let process = Self {
                    child,
                    end: End(Arc::new(watched)),
                    is_reaped: false,
                };
                let stderr = ChildStderr::from_std(stderr)?;
                Ok((process, Pipes { stdin, stderr }))
            }
            (watched, _) => {
                child.kill()?;
                child.wait()?;
                Err(watched
                    .err()
                    .unwrap_or_else(|| io::Error::other("its pipes are missing")))
            }
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its end, for others to wait for.
    pub fn end(&self) -> End {
        self.end.clone()
    }

    /// Waits for its end. Dropping the future loses nothing.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.end.reached().await?;
        // Does not block: there is something to reap.
        let status = self.child.wait()?;
        self.is_reaped = true;
        Ok(status)
    }

    /// Ends it at once; its end is then reached as any other.
    pub fn kill(&self) {
        // Fails only where the process has ended already.
        let _ = pidfd_send_signal(self.end.0.get_ref(), Signal::KILL);
    }
}

impl End {
    /// Waits for it.
    pub async fn reached(&self) -> io::Result<()> {
        // A process descriptor stays readable once its process has ended (pidfd_open(2)): the readiness is never cleared.
        self.0.readable().await.map(|mut guard| guard.retain_ready())
    }
}

impl Drop for VmmProcess {
    fn drop(&mut self) {
        if self.is_reaped {
            return;
        }
        self.kill();
        // A process that was killed ends by itself, whoever waits; but it is ours to be reaped.
        if let Err(error) = self.child.wait() {
            tracing::error!(process = self.child.id(), "a VMM cannot be waited for: {error}");
        }
    }
}

fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let number = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let number = number.ok_or_else(|| io::Error::other("it has no process number"))?;
    Ok(pidfd_open(number, PidfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::os::unix::process::ExitStatusExt;

    fn cat() -> (VmmProcess, Pipes) {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        VmmProcess::spawn(Path::new("/bin/cat"), ours.into()).unwrap()
    }

    #[tokio::test]
    async fn its_end_is_seen_by_all_who_wait() {
        let (mut process, pipes) = cat();
        let end = process.end();
        let others = tokio::spawn(async move { end.reached().await });
        drop(pipes.stdin);
        assert_eq!(process.wait().await.unwrap().code(), Some(0));
        others.await.unwrap().unwrap();
        process.end().reached().await.unwrap();
    }

    #[tokio::test]
    async fn a_kill_ends_it() {
        let (mut process, _pipes) = cat();
        process.kill();
        assert_eq!(process.wait().await.unwrap().signal(), Some(9));
    }

    #[tokio::test]
    async fn dropping_it_leaves_no_process() {
        let (process, _pipes) = cat();
        let path = format!("/proc/{}", process.id());
        assert!(Path::new(&path).exists());
        drop(process);
        assert!(!Path::new(&path).exists());
    }
}
