//! Tries KVM: opens it, asks for what is needed, and times a loop in a guest's ring 0 against the same loop on this host.
//!
//! This file may use `unsafe`: a guest's memory is given to the kernel by address, and the loop on this host is machine code.
#![expect(unsafe_code, reason = "guest memory and machine code, see above")]

use std::arch::asm;
use std::io;
use std::ptr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use kvm_bindings::{KVM_API_VERSION, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Cap, Kvm, VcpuExit, VcpuFd, VmFd};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

/// A guest's loop may take so many times as long as the host's. Hardware runs both alike, but a busy host may stop either for a while;
/// emulation is hundreds of times slower.
pub const SLOWDOWN_MAX: f64 = 20.0;

/// Rounds of the loop: about 10 ms of work.
const ROUNDS: u32 = 20_000_000;
/// How long the guest may work on them.
const TIME_MAX: Duration = Duration::from_millis(300);
/// How long a guest that has been told to stop may take for it.
const STOP_TIME_MAX: Duration = Duration::from_millis(500);
/// How often it is told.
const STOP_INTERVAL: Duration = Duration::from_millis(10);

/// One page of guest memory, and where the guest sees it.
const PAGE_LEN: usize = 4096;
const PAGE_ADDRESS: u64 = 0x1000;

/// What the VMM needs of KVM.
const NEEDED: &[(Cap, &str)] = &[
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
    (Cap::Irqfd, "KVM_CAP_IRQFD"),
    (Cap::Ioeventfd, "KVM_CAP_IOEVENTFD"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::MpState, "KVM_CAP_MP_STATE"),
    (Cap::VcpuEvents, "KVM_CAP_VCPU_EVENTS"),
    (Cap::Xsave, "KVM_CAP_XSAVE"),
    (Cap::Xcrs, "KVM_CAP_XCRS"),
    (Cap::AdjustClock, "KVM_CAP_ADJUST_CLOCK"),
    (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
];

/// What a KVM offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The version of its interface.
    pub api_version: i32,
    /// What the VMM needs and it has not, by the kernel's names.
    pub missing: Vec<&'static str>,
}

/// Two timings of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// Rounds on the host.
    pub native_rounds: u32,
    /// Time for them.
    pub native_time: Duration,
    /// Rounds that the guest came to.
    pub rounds: u32,
    /// Time for them.
    pub time: Duration,
}

impl Speed {
    /// How many times longer a round takes in the guest.
    pub fn slowdown(&self) -> f64 {
        // A guest that came to no round at all did one, for the sake of the division.
        let per_round = self.time.as_secs_f64() / f64::from(self.rounds.max(1));
        let native_per_round = self.native_time.as_secs_f64() / f64::from(self.native_rounds.max(1));
        per_round / native_per_round.max(f64::MIN_POSITIVE)
    }
}

/// KVM cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KvmError {
    /// The device does not open.
    #[error("cannot open /dev/kvm")]
    Open(#[source] io::Error),
    /// The interface is another one.
    #[error("KVM's API version is {found}, not {KVM_API_VERSION}")]
    Version {
        /// The version found.
        found: i32,
    },
    /// An operation failed.
    #[error("KVM cannot {operation}")]
    Operation {
        /// What was tried.
        operation: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The guest did something else than the loop.
    #[error("a guest of KVM left its loop: {exit}")]
    Strayed {
        /// How KVM calls it.
        exit: String,
    },
    /// The guest does not stop.
    #[error("a guest of KVM cannot be stopped")]
    Stuck,
}

fn failed<E: Into<io::Error>>(operation: &'static str) -> impl FnOnce(E) -> KvmError {
    move |error| KvmError::Operation {
        operation,
        source: error.into(),
    }
}

/// Opens KVM and asks what it offers.
pub fn capabilities() -> Result<Capabilities, KvmError> {
    let kvm = open()?;
    let missing = NEEDED
        .iter()
        .filter(|(capability, _)| !kvm.check_extension(*capability))
        .map(|(_, name)| *name);
    Ok(Capabilities {
        api_version: kvm.get_api_version(),
        missing: missing.collect(),
    })
}

fn open() -> Result<Kvm, KvmError> {
    let kvm = Kvm::new().map_err(|error| KvmError::Open(error.into()))?;
    let expected = i32::try_from(KVM_API_VERSION).unwrap_or(i32::MAX);
    match kvm.get_api_version() {
        found if found == expected => Ok(kvm),
        found => Err(KvmError::Version { found }),
    }
}

/// Times the loop. Takes a third of a second, or a whole one where guests cannot be stopped.
pub fn measure_speed() -> Result<Speed, KvmError> {
    let native_time = run_natively();
    let (done, finished) = channel();
    // The signal has nothing to do but to interrupt the guest.
    register_signal_handler(SIGRTMIN(), ignore_signal).map_err(failed("be interrupted"))?;
    let guest = thread::spawn(move || report_guest(&done));
    let deadline = Instant::now() + TIME_MAX;
    let mut wait = TIME_MAX;
    loop {
        match finished.recv_timeout(wait) {
            Ok(result) => {
                let (rounds, time) = result?;
                return Ok(Speed {
                    native_rounds: ROUNDS,
                    native_time,
                    rounds,
                    time,
                });
            }
            Err(RecvTimeoutError::Disconnected) => return Err(KvmError::Stuck),
            Err(RecvTimeoutError::Timeout) if Instant::now() > deadline + STOP_TIME_MAX => return Err(KvmError::Stuck),
            Err(RecvTimeoutError::Timeout) => {
                // Again and again: a signal that comes while the guest is not running yet is lost.
                guest.kill(SIGRTMIN()).map_err(failed("be interrupted"))?;
                wait = STOP_INTERVAL;
            }
        }
    }
}

extern "C" fn ignore_signal(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

fn run_natively() -> Duration {
    let began = Instant::now();
    // SAFETY: the code counts one register down to zero; it touches neither memory nor stack.
    unsafe { asm!("2: dec {0:e}", "jnz 2b", inout(reg) ROUNDS => _, options(nomem, nostack)) };
    began.elapsed()
}

/// The same loop for a guest in 32-bit protected mode.
fn guest_code() -> Vec<u8> {
    let [a, b, c, d] = ROUNDS.to_le_bytes();
    vec![
        0xb9, a, b, c, d,    // mov ecx, ROUNDS
        0x49, // dec ecx
        0x75, 0xfd, // jnz to the dec
        0xf4, // hlt
    ]
}

fn report_guest(done: &Sender<Result<(u32, Duration), KvmError>>) {
    let result = Guest::new().and_then(|mut guest| guest.run());
    // When nobody waits any more, nobody wants to know.
    let _ = done.send(result);
}

/// A VM of one page and one vCPU. The fields are dropped in this order: the memory goes when no kernel structure refers to it.
struct Guest {
    vcpu: VcpuFd,
    _vm: VmFd,
    _page: Page,
}

impl Guest {
    fn new() -> Result<Self, KvmError> {
        let page = Page::with(&guest_code()).map_err(failed("get memory"))?;
        let vm = open()?.create_vm().map_err(failed("create a VM"))?;
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: PAGE_ADDRESS,
            memory_size: PAGE_LEN as u64,
            userspace_addr: page.address.expose_provenance() as u64,
        };
        // SAFETY: the region is the page, which lives longer than the VM, and no Rust reference to it exists.
        unsafe { vm.set_user_memory_region(region) }.map_err(failed("take memory"))?;
        let vcpu = vm.create_vcpu(0).map_err(failed("create a vCPU"))?;
        enter_protected_mode(&vcpu).map_err(failed("set a vCPU's registers"))?;
        Ok(Self {
            vcpu,
            _vm: vm,
            _page: page,
        })
    }

    /// Runs until the loop is through or a signal comes; says how many rounds were done, in what time.
    fn run(&mut self) -> Result<(u32, Duration), KvmError> {
        let began = Instant::now();
        match self.vcpu.run() {
            Ok(VcpuExit::Hlt | VcpuExit::Intr) => {}
            Err(error) if error.errno() == libc::EINTR => {}
            Ok(exit) => {
                return Err(KvmError::Strayed {
                    exit: format!("{exit:?}"),
                });
            }
            Err(error) => return Err(failed("run a vCPU")(error)),
        }
        let time = began.elapsed();
        let left = self.vcpu.get_regs().map_err(failed("read a vCPU's registers"))?.rcx;
        Ok((ROUNDS.saturating_sub(u32::try_from(left).unwrap_or(ROUNDS)), time))
    }
}

/// Flat 32-bit segments and no paging, see the Intel SDM, volume 3, 3.4.5: every CPU runs that as it is, unlike real mode.
fn enter_protected_mode(vcpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    let mut system = vcpu.get_sregs()?;
    let data = kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector: 16,
        type_: 3,
        present: 1,
        s: 1,
        db: 1,
        g: 1,
        ..kvm_segment::default()
    };
    system.cs = kvm_segment {
        selector: 8,
        type_: 11,
        ..data
    };
    for segment in [
        &mut system.ds,
        &mut system.es,
        &mut system.fs,
        &mut system.gs,
        &mut system.ss,
    ] {
        *segment = data;
    }
    // CR0.PE.
    system.cr0 |= 1;
    vcpu.set_sregs(&system)?;
    let mut general = vcpu.get_regs()?;
    general.rip = PAGE_ADDRESS;
    // As after the first instruction: a guest that came to nothing has done no round.
    general.rcx = u64::from(ROUNDS);
    // Bit 1 is always set.
    general.rflags = 2;
    vcpu.set_regs(&general)
}

/// A page of memory of its own.
struct Page {
    address: *mut libc::c_void,
}

impl Page {
    fn with(bytes: &[u8]) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let address = unsafe { libc::mmap(ptr::null_mut(), PAGE_LEN, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let length = bytes.len().min(PAGE_LEN);
        // SAFETY: the mapping has PAGE_LEN writable bytes, `length` is not more, and nothing else refers to it yet.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), address.cast(), length) };
        Ok(Self { address })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping is of this length, and its VM has been dropped before it, see `Guest`.
        unsafe { libc::munmap(self.address, PAGE_LEN) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_jumps_to_its_dec() {
        let code = guest_code();
        let jump = code.iter().position(|byte| *byte == 0x75).unwrap();
        let target = i8::from_ne_bytes([code[jump + 1]]);
        assert_eq!(code[(jump + 2).checked_add_signed(target.into()).unwrap()], 0x49);
    }
}
