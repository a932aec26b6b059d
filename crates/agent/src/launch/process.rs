//! The process of a VMM: started without a copy of this one, or found again, and watched by a descriptor.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::spawn::Born;
use crate::readiness::watch;

/// A process that may be waited for by several tasks. Dropping it kills the process, unless it was left.
#[derive(Debug)]
pub struct VmmProcess {
    id: u32,
    /// Not where an earlier host agent started it: who waits for it then is the system.
    is_ours: bool,
    end: End,
    is_over: bool,
    /// How it ended, once that was asked: the system tells it once.
    status: Option<ExitStatus>,
}

/// The end of a process, for who only wants to know of it.
#[derive(Clone, Debug)]
pub struct End(Arc<AsyncFd<OwnedFd>>);

impl VmmProcess {
    /// That one, which this process has had born.
    pub fn of(born: Born) -> io::Result<Self> {
        Ok(Self {
            id: born.id,
            is_ours: true,
            end: End::behind(born.descriptor)?,
            is_over: false,
            status: None,
        })
    }

    /// The process with this number, which an earlier host agent started. The caller makes sure that it is the one: by its cgroup, after this.
    pub fn find(id: u32) -> io::Result<Self> {
        Ok(Self {
            id,
            is_ours: false,
            end: End::of(id)?,
            is_over: false,
            status: None,
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
        if !self.is_over {
            self.status = self.reap()?;
            self.is_over = true;
        }
        Ok(self.status)
    }

    /// How it ended, once it has. Waits for that.
    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        if !self.is_ours {
            return Ok(None);
        }
        let status = waitid(WaitId::PidFd(self.end.0.get_ref().as_fd()), WaitIdOptions::EXITED)?;
        // As wait(2) has it.
        let raw = status.map_or(0, |status| match status.exit_status() {
            Some(code) => code << 8,
            None => status.terminating_signal().unwrap_or(0),
        });
        Ok(Some(ExitStatus::from_raw(raw)))
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
        Self::behind(pidfd_open(number, PidfdFlags::empty())?)
    }

    fn behind(pidfd: OwnedFd) -> io::Result<Self> {
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
        if let Err(error) = self.reap() {
            tracing::error!(process = self.id, "a VMM cannot be waited for: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::spawn::{self, Birth};
    use super::*;
    use std::io::{Read, Write};
    use std::path::Path;

    fn start(program: &std::ffi::CStr, output: &OwnedFd) -> io::Result<(VmmProcess, io::PipeWriter)> {
        let (stdin, ours) = io::pipe()?;
        let birth = Birth {
            program: program.to_owned(),
            argument: c"-".to_owned(),
            standard: [stdin.into(), output.try_clone()?, output.try_clone()?],
            inherited: Vec::new(),
            cgroup: None,
            is_alone: false,
        };
        Ok((VmmProcess::of(spawn::bear(&birth)?)?, ours))
    }

    fn cat() -> (VmmProcess, io::PipeWriter) {
        start(c"/bin/cat", &io::pipe().unwrap().1.into()).unwrap()
    }

    #[tokio::test]
    async fn it_has_the_standard_descriptors_that_it_was_given() {
        let (mut output, theirs) = io::pipe().unwrap();
        let theirs = OwnedFd::from(theirs);
        let (mut process, mut stdin) = start(c"/bin/cat", &theirs).unwrap();
        drop(theirs);
        stdin.write_all(b"hello").unwrap();
        drop(stdin);
        let mut heard = String::new();
        output.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        assert_eq!(process.wait().await.unwrap().unwrap().code(), Some(0));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told() {
        let output = io::pipe().unwrap().1.into();
        let error = start(c"/nonexistent/program", &output).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
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
    async fn a_kill_ends_it_and_that_is_told_each_time() {
        let (mut process, _stdin) = cat();
        process.kill();
        for _ in 0..2 {
            assert_eq!(process.wait().await.unwrap().unwrap().signal(), Some(9));
        }
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
