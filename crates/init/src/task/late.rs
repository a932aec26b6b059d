//! What the microVM gets beyond what it began with: vCPUs and memory, while its containers run.

use protocol::guest::{DOORBELL_MEMORY, ExitStatus};
use rustix::event::epoll::EventFlags;

use super::{Task, TaskError};
use crate::container::state::Event;
use crate::failure::sentence;
use crate::growth::{Growth, Memory, Progress};
use crate::kernel_log;
use crate::poller::Token;

/// What was asked for, and what has become of it.
#[derive(Debug)]
pub struct Late {
    /// How many vCPUs to bring online when a container runs; one where that is done already, or begun.
    vcpus: u8,
    /// By how much memory is to grow when a container runs, in bytes.
    growth_bytes: u64,
    /// The processes that are to be released when all vCPUs are online; nothing where they need not wait.
    held: Option<Vec<u32>>,
    /// Memory that is on its way.
    growth: Option<Growth>,
}

impl Late {
    /// All is to come: `vcpus` in all and `growth_mib` of memory beyond what there is. Containers may have to wait for the vCPUs.
    pub fn new(vcpus: u8, growth_mib: u32, waits_for_vcpus: bool) -> Self {
        Self {
            vcpus,
            growth_bytes: u64::from(growth_mib) << 20,
            held: (waits_for_vcpus && vcpus > 1).then(Vec::new),
            growth: None,
        }
    }

    /// Whether containers are to be slowed down rather than killed for want of memory.
    pub const fn grows(&self) -> bool {
        self.growth_bytes > 0 || self.growth.is_some()
    }

    /// Keeps the release of `process` where it has to wait; whether it has.
    pub fn holds(&mut self, process: u32) -> bool {
        match &mut self.held {
            Some(held) => {
                held.push(process);
                true
            }
            None => false,
        }
    }
}

impl Task<'_> {
    /// Asks for the vCPUs that containers wait for.
    pub(super) fn begin_what_is_waited_for(&mut self) -> Result<(), TaskError> {
        if self.late.held.is_some() {
            self.begin_vcpus()?;
        }
        Ok(())
    }

    /// Asks for everything else; called when a container runs, and does it once.
    pub(super) fn begin_the_rest(&mut self) -> Result<(), TaskError> {
        let bytes = std::mem::take(&mut self.late.growth_bytes);
        if bytes > 0 {
            self.late.growth = Some(Growth::new(self.ready.memory, bytes));
            let watched = self
                .ready
                .poller
                .add(&self.ready.uevents, Token::Uevents, EventFlags::IN);
            watched.map_err(TaskError::Events)?;
            self.ready.doorbell.ring(DOORBELL_MEMORY);
        }
        self.begin_vcpus()
    }

    fn begin_vcpus(&mut self) -> Result<(), TaskError> {
        let vcpus = std::mem::replace(&mut self.late.vcpus, 1);
        if vcpus > 1 {
            self.ready.vcpus.begin(vcpus)?;
        }
        Ok(())
    }

    /// Notes that the process that brings vCPUs online has ended, and releases whoever waited for them.
    pub(super) fn vcpus_are_online(&mut self, status: Option<ExitStatus>) -> Result<(), TaskError> {
        if status != Some(ExitStatus::Code(0)) {
            return Err(TaskError::Vcpus);
        }
        for process in self.late.held.take().unwrap_or_default() {
            self.happen(process, Event::Release)?;
        }
        Ok(())
    }

    /// Looks how far memory has grown, and gives the containers what is there.
    pub(super) fn look_at_memory(&mut self) -> Result<(), TaskError> {
        self.ready.uevents.forget().map_err(TaskError::Events)?;
        let Some(growth) = &self.late.growth else {
            return Ok(());
        };
        let total = Memory::now().total;
        let allowed = match growth.progress(total) {
            Progress::High(bytes) => Some(share(bytes, self.containers.len())),
            Progress::Done => None,
        };
        for container in &mut self.containers {
            warn_of(container.cgroup.slow_down_above(allowed));
        }
        if allowed.is_none() {
            warn_of(growth.complete(total));
            self.late.growth = None;
            let forgotten = self.ready.poller.remove(&self.ready.uevents);
            forgotten.map_err(TaskError::Events)?;
        }
        Ok(())
    }
}

/// What each of `count` containers may use of what all may.
pub fn share(bytes: u64, count: usize) -> u64 {
    bytes / u64::try_from(count).unwrap_or(u64::MAX).max(1)
}

/// Tells the kernel's log of a failure that ends nothing.
fn warn_of(result: Result<(), crate::failure::StepError>) {
    if let Err(error) = result {
        kernel_log::warn(&sentence(&error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_held_only_for_vcpus_that_are_to_come() {
        assert!(Late::new(2, 0, true).holds(0));
        assert!(!Late::new(1, 0, true).holds(0));
        assert!(!Late::new(2, 0, false).holds(0));
    }

    #[test]
    fn containers_share_what_is_there() {
        assert_eq!(share(10, 3), 3);
        assert_eq!(share(10, 0), 10);
    }
}
