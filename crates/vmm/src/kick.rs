//! Taking a vCPU's thread out of `KVM_RUN`: by a signal whose handler sets the vCPU's `immediate_exit`.
//!
//! The signal interrupts a `KVM_RUN` that has begun; `immediate_exit` ends the next one at once. So a kick is never lost,
//! wherever the thread was when it came (Linux, `virt/kvm/api.rst`, 5).

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr;
use std::thread::JoinHandle;

use kvm_ioctls::{VcpuExit, VcpuFd};
use libc::{c_int, c_void, siginfo_t};
use vmm_sys_util::errno;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

thread_local! {
    /// `immediate_exit` of the vCPU that this thread runs; null where it runs none.
    static IMMEDIATE_EXIT: Cell<*mut u8> = const { Cell::new(ptr::null_mut()) };
}

/// A vCPU that the thread it was made on runs, and that [`kick`] stops.
pub struct RunningVcpu {
    vcpu: VcpuFd,
    /// It stays on its thread: the signal's handler looks for it there.
    _thread: PhantomData<*const ()>,
}

impl RunningVcpu {
    /// From now on kicks of this thread stop `vcpu`.
    pub fn new(mut vcpu: VcpuFd) -> Self {
        IMMEDIATE_EXIT.set(&raw mut vcpu.get_kvm_run().immediate_exit);
        Self {
            vcpu,
            _thread: PhantomData,
        }
    }

    /// Runs the guest until something is to be done for it.
    ///
    /// # Errors
    /// `EINTR` after a kick, and from then on always.
    pub fn run(&mut self) -> Result<VcpuExit<'_>, errno::Error> {
        self.vcpu.run()
    }

    /// Gives `value` to the four-byte read of a port for which the guest was left last.
    pub fn answer(&mut self, value: u32) {
        let page = self.vcpu.get_kvm_run();
        // SAFETY: every bit pattern of the union is a value of this member, which is the valid one after an access to a port.
        let offset = unsafe { page.__bindgen_anon_1.io.data_offset };
        let Ok(offset) = usize::try_from(offset) else { return };
        let data = (&raw mut *page).cast::<u8>().wrapping_add(offset).cast::<u32>();
        // SAFETY: KVM has put the data of the access inside the pages that it shares with us, which stay mapped while the vCPU lives.
        unsafe { data.write_unaligned(value) };
    }

    /// Completes the access for which the guest was left last, and executes nothing more (Linux, `virt/kvm/api.rst`, 5, `immediate_exit`).
    ///
    /// # Errors
    /// KVM's. A guest that goes on instead is one, too.
    pub fn complete(&mut self) -> Result<(), errno::Error> {
        self.vcpu.set_kvm_immediate_exit(1);
        let left = self.vcpu.run().map(drop);
        self.vcpu.set_kvm_immediate_exit(0);
        match left {
            Err(error) if error.errno() == libc::EINTR => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Err(errno::Error::new(libc::EIO)),
        }
    }

    /// The vCPU, to look at while the guest does not run.
    pub fn descriptor(&self) -> &VcpuFd {
        &self.vcpu
    }
}

impl Drop for RunningVcpu {
    fn drop(&mut self) {
        // Before the vCPU's memory is unmapped.
        IMMEDIATE_EXIT.set(ptr::null_mut());
    }
}

/// Prepares the process for [`kick`]; called once, before any vCPU runs.
///
/// # Errors
/// Where the system refuses the handler.
pub fn install() -> Result<(), errno::Error> {
    register_signal_handler(SIGRTMIN(), on_signal)
}

/// Makes the vCPU that `thread` runs leave the guest, now and for good.
///
/// # Errors
/// Where the thread has ended already.
pub fn kick<T>(thread: &JoinHandle<T>) -> Result<(), errno::Error> {
    thread.kill(SIGRTMIN())
}

extern "C" fn on_signal(_signal: c_int, _info: *mut siginfo_t, _context: *mut c_void) {
    let immediate_exit = IMMEDIATE_EXIT.get();
    if !immediate_exit.is_null() {
        // SAFETY: it points into the memory of this thread's `RunningVcpu`, which sets it to null before it is unmapped;
        // being on the same thread, the handler cannot run while that happens.
        unsafe { immediate_exit.write_volatile(1) };
    }
}
