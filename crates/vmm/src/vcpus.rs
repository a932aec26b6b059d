//! The vCPUs' threads: one from the beginning, the others when the guest wants them; stopped together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use kvm_ioctls::{VcpuFd, VmFd};
use protocol::vmm::ExitCode;
use vm_memory::GuestMemoryMmap;

use crate::bus::Bus;
use crate::ending::Ending;
use crate::jail::Jail;
use crate::kick::{self, RunningVcpu};
use crate::reports::{Report, Reporter};
use crate::slice;
use crate::template::save::Files;
use crate::template::state::State;
use crate::touched::Start;
use crate::vcpu;
use crate::x86_64::{self, Leaves, Reference};

/// What all vCPUs of a microVM share.
pub struct Shared {
    /// Once nobody refers to it, KVM delivers no interrupt any more.
    pub vm: Arc<VmFd>,
    /// What vCPUs say of themselves.
    pub leaves: Leaves,
    /// The way to the devices.
    pub bus: Bus,
    /// How many vCPUs there are to be.
    pub vcpus: u8,
    /// How the guest is saved when it wants to be.
    pub saving: Option<Saving>,
    /// What is learned of the guest's start.
    pub start: Arc<Start>,
    /// What the threads are confined by.
    pub jail: Jail,
    /// Where the end of the guest is told.
    pub reporter: Reporter,
}

/// What it takes to save a guest.
pub struct Saving {
    /// Where to.
    pub files: Files,
    /// What to compare with.
    pub reference: Reference,
    /// All memory of the guest.
    pub memory: GuestMemoryMmap,
}

/// Running vCPUs, each on a thread of its own.
pub struct Vcpus {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Shared,
    /// Set once, before the threads are kicked.
    stopping: AtomicBool,
    // The main thread, which stops them, shares it with the vCPU that starts others.
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Vcpus {
    /// Runs `first`, which gets `answer` to the read of the doorbell that it has left the guest for, where there is one. The thread that serves the
    /// devices calls it, and then has short slices.
    pub fn start(shared: Shared, first: VcpuFd, answer: Option<u32>) -> Self {
        let inner = Arc::new(Inner {
            shared,
            stopping: AtomicBool::new(false),
            threads: Mutex::default(),
        });
        inner.spawn(0, first, answer);
        slice::shorten();
        Self { inner }
    }

    /// Stops all vCPUs and waits for their threads. The event loop must have ended: a thread may be waiting for it.
    ///
    /// Gives what nothing runs in any more: taking it down takes a while.
    pub fn stop(self) -> impl Sized {
        let threads = {
            let mut threads = self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner);
            self.inner.stopping.store(true, Ordering::Release);
            std::mem::take(&mut *threads)
        };
        for thread in &threads {
            // A thread that has ended already needs no kick.
            let _ = kick::kick(thread);
        }
        for thread in threads {
            // One that panicked has said so.
            let _ = thread.join();
        }
        self.inner
    }
}

impl Inner {
    fn spawn(self: &Arc<Self>, index: u8, vcpu: VcpuFd, answer: Option<u32>) {
        let inner = Arc::clone(self);
        let body = move || {
            let last_word = LastWord(&inner.shared.reporter);
            // The others are started by the first one's thread, whose confinement they inherit.
            if index == 0
                && let Err(error) = inner.shared.jail.enter_vcpu()
            {
                last_word.0.report(Report::Ended(Ending::failure(error)));
                return;
            }
            let mut running = RunningVcpu::new(vcpu);
            if let Some(answer) = answer {
                running.answer(answer);
            }
            if let Some(ending) = vcpu::run(&mut running, &Control(&inner), &inner.stopping) {
                last_word.0.report(Report::Ended(ending));
            }
        };
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stopping.load(Ordering::Acquire) {
            return;
        }
        match thread::Builder::new().name(format!("vcpu{index}")).spawn(body) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                let error = anyhow::Error::new(error).context(format!("cannot start a thread for vCPU {index}"));
                self.shared.reporter.report(Report::Ended(Ending::failure(error)));
            }
        }
    }
}

/// What a vCPU's thread does for its guest beyond the bus.
struct Control<'a>(&'a Arc<Inner>);

impl vcpu::Surroundings for Control<'_> {
    fn bus(&self) -> &Bus {
        &self.0.shared.bus
    }

    fn start_others(&self) -> anyhow::Result<()> {
        let shared = &self.0.shared;
        let running = self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).len();
        // A guest that asks again has them already.
        let first = u8::try_from(running).unwrap_or(u8::MAX);
        for vcpu in first..shared.vcpus {
            let fd = x86_64::make_vcpu(&shared.vm, &shared.leaves, vcpu)?;
            self.0.spawn(vcpu, fd, None);
        }
        Ok(())
    }

    fn note_start(&self) {
        self.0.shared.start.note();
    }

    fn save(&self, vcpu: &mut RunningVcpu) -> Option<anyhow::Result<()>> {
        let shared = &self.0.shared;
        let saving = shared.saving.as_ref()?;
        let mut saved = || {
            vcpu.complete()
                .context("cannot complete the guest's last instruction")?;
            let (vcpu, chips) = saving.reference.take(&shared.vm, vcpu.descriptor())?;
            // Behind the interrupt controllers, for which no time may pass: what a device raises in between is told anew in every clone.
            let slots = shared.bus.rest();
            saving.files.save(&State { vcpu, chips, slots }, &saving.memory)?;
            Ok(())
        };
        Some(saved())
    }
}

/// Sees to it that a thread which panics does not leave the microVM half alive.
struct LastWord<'a>(&'a Reporter);

impl Drop for LastWord<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.report(Report::Ended(Ending::new(
                ExitCode::Failure,
                "a vCPU's thread panicked",
            )));
        }
    }
}
