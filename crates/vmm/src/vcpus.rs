//! The vCPUs' threads: started together, stopped together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use kvm_ioctls::{VcpuFd, VmFd};
use protocol::vmm::ExitCode;

use crate::bus::Bus;
use crate::ending::Ending;
use crate::kick::{self, RunningVcpu};
use crate::reports::{Report, Reporter};
use crate::vcpu;

/// Running vCPUs, each on a thread of its own.
pub struct Vcpus {
    threads: Vec<JoinHandle<()>>,
    /// Shared with the threads: set once, before they are kicked.
    stopping: Arc<AtomicBool>,
    /// Once it is closed KVM delivers no interrupt any more.
    vm: VmFd,
}

impl Vcpus {
    /// Runs `vcpus` of `vm`. How the guest ends is reported; that a thread could not be had, too.
    pub fn start(vm: VmFd, vcpus: Vec<VcpuFd>, bus: &Arc<Bus>, reporter: &Reporter) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::with_capacity(vcpus.len());
        for (index, vcpu) in vcpus.into_iter().enumerate() {
            let bus = Arc::clone(bus);
            let stop = Arc::clone(&stopping);
            let last_word = LastWord(reporter.clone());
            let body = move || {
                if let Some(ending) = vcpu::run(RunningVcpu::new(vcpu), &bus, &stop) {
                    last_word.0.report(Report::Ended(ending));
                }
            };
            match thread::Builder::new().name(format!("vcpu{index}")).spawn(body) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    let error = anyhow::Error::new(error).context(format!("cannot start a thread for vCPU {index}"));
                    reporter.report(Report::Ended(Ending::failure(error)));
                }
            }
        }
        Self { threads, stopping, vm }
    }

    /// Stops all vCPUs and waits for their threads. The event loop must have ended: a thread may be waiting for it.
    ///
    /// Gives the virtual machine, in which nothing runs any more: taking it down takes a while.
    pub fn stop(self) -> VmFd {
        self.stopping.store(true, Ordering::Release);
        for thread in &self.threads {
            // A thread that has ended already needs no kick.
            let _ = kick::kick(thread);
        }
        for thread in self.threads {
            // One that panicked has said so.
            let _ = thread.join();
        }
        self.vm
    }
}

/// Sees to it that a thread which panics does not leave the microVM half alive.
struct LastWord(Reporter);

impl Drop for LastWord {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.report(Report::Ended(Ending::new(
                ExitCode::Failure,
                "a vCPU's thread panicked",
            )));
        }
    }
}
