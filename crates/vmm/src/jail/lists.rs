//! Which system calls each thread may make, and why.

use std::ops::BitOr;

use kvm_bindings as kvm;
use libc::{
    CLONE_THREAD, PROT_EXEC, SYS_accept4, SYS_access, SYS_arch_prctl, SYS_brk, SYS_capset, SYS_clock_gettime,
    SYS_clone, SYS_clone3, SYS_close, SYS_copy_file_range, SYS_dup2, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait,
    SYS_epoll_wait, SYS_eventfd2, SYS_execve, SYS_exit, SYS_exit_group, SYS_fallocate, SYS_fchmodat, SYS_fchownat,
    SYS_fcntl, SYS_fdatasync, SYS_fgetxattr, SYS_flistxattr, SYS_flock, SYS_fremovexattr, SYS_fsetxattr, SYS_fstat,
    SYS_fstatfs, SYS_fsync, SYS_ftruncate, SYS_futex, SYS_getdents64, SYS_getpid, SYS_getrandom, SYS_getsockname,
    SYS_getsockopt, SYS_gettid, SYS_ioctl, SYS_landlock_add_rule, SYS_landlock_create_ruleset,
    SYS_landlock_restrict_self, SYS_linkat, SYS_lseek, SYS_lstat, SYS_madvise, SYS_memfd_create, SYS_mkdirat,
    SYS_mknodat, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_munmap, SYS_newfstatat, SYS_open, SYS_openat, SYS_poll,
    SYS_ppoll, SYS_prctl, SYS_pread64, SYS_preadv, SYS_prlimit64, SYS_pwrite64, SYS_pwritev, SYS_read, SYS_readlink,
    SYS_readlinkat, SYS_readv, SYS_recvfrom, SYS_recvmsg, SYS_renameat2, SYS_restart_syscall, SYS_rseq,
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sched_getaffinity, SYS_sched_setattr, SYS_sched_yield,
    SYS_seccomp, SYS_sendmsg, SYS_sendto, SYS_set_robust_list, SYS_set_tid_address, SYS_setgroups, SYS_setns,
    SYS_setpgid, SYS_setresgid, SYS_setresuid, SYS_shutdown, SYS_sigaltstack, SYS_signalfd4, SYS_stat, SYS_statx,
    SYS_symlinkat, SYS_tgkill, SYS_timerfd_create, SYS_timerfd_settime, SYS_umask, SYS_uname, SYS_unlinkat,
    SYS_unshare, SYS_userfaultfd, SYS_utimensat, SYS_waitid, SYS_write, SYS_writev, c_long,
};

use super::seccomp::{Allowed, Check};

/// Threads, as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who(u8);

impl Who {
    /// All threads but those that serve directories: what the first one may do from the beginning, which includes what it needs to begin.
    pub const PROCESS: Self = Self(1);
    /// The threads of vCPUs.
    pub const VCPU: Self = Self(2);
    /// Threads that serve directories of the host.
    pub const DIRECTORIES: Self = Self(4);

    const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Who {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const P: Who = Who::PROCESS;
const D: Who = Who::DIRECTORIES;
const PV: Who = Who(P.0 | Who::VCPU.0);

/// The flags of `clone` that make a thread, and none that makes a namespace: of those and these, only the first.
const NAMESPACES: u32 = 0x7e02_0080;
const THREAD: u32 = CLONE_THREAD as u32;

/// A system call, whose it is, and what is looked at.
type Row = (c_long, Who, Look);

/// What is looked at of a system call.
#[derive(Clone, Copy)]
enum Look {
    /// Nothing.
    Any,
    /// It makes no code.
    NoCode,
    /// It makes a thread, and no process.
    Thread,
    /// It is about this process.
    Own,
    /// It is one of the requests below.
    Requests,
    /// This argument is one of these.
    OneOf(u8, &'static [u32]),
    /// It fails, as on a system that has it not.
    Missing,
}

use Look::{Any, Missing, NoCode, OneOf, Own, Requests, Thread};

/// Every system call that some thread may make.
const CALLS: &[Row] = &[
    // Memory: the allocator's, a guest's, stacks of threads. None of it ever becomes code.
    (SYS_mmap, PV, NoCode),
    (SYS_mprotect, PV, NoCode),
    (SYS_munmap, PV, Any),
    (SYS_mremap, PV, Any),
    (SYS_brk, PV, Any),
    (SYS_madvise, PV, Any),     // pages that a guest gives back; those that it will write
    (SYS_userfaultfd, P, Any),  // a clone's pages, copied in advance
    (SYS_memfd_create, P, Any), // the disk that stands for one to come
    // Descriptors that came from outside: disks, sockets, KVM, events.
    (SYS_read, PV, Any),
    (SYS_write, PV, Any),
    (SYS_readv, P, Any),
    (SYS_writev, PV, Any),
    (SYS_pread64, PV, Any),  // a vCPU looks which pages its guest has touched
    (SYS_pwrite64, PV, Any), // a vCPU saves its guest as a template
    (SYS_preadv, P, Any),
    (SYS_pwritev, P, Any),
    (SYS_lseek, P, Any),
    (SYS_fallocate, P, Any), // what a guest discards of its disks
    (SYS_fdatasync, P, Any),
    (SYS_fsync, P, Any),
    (SYS_ftruncate, PV, Any),
    (SYS_fstat, P, Any),
    (SYS_newfstatat, P, Any), // the same, as some C libraries make it
    (SYS_statx, P, Any),
    (SYS_close, PV, Any),
    (SYS_fcntl, PV, OneOf(1, &[0, 1, 2, 3, 4, 1030])), // F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC
    (SYS_ioctl, PV, Requests),
    // Waiting for events.
    (SYS_epoll_create1, P, Any),
    (SYS_epoll_ctl, PV, Any),
    (SYS_epoll_wait, P, Any),
    (SYS_epoll_pwait, P, Any),
    (SYS_poll, P, Any),
    (SYS_ppoll, P, Any),
    (SYS_eventfd2, PV, Any),       // a driver's first notification of a busy device
    (SYS_timerfd_create, PV, Any), // rate limits, when a driver sets a device up
    (SYS_timerfd_settime, PV, Any),
    (SYS_signalfd4, P, Any),
    // Sockets that are there. None is made, and none connects anywhere.
    (SYS_accept4, P, Any),
    (SYS_recvfrom, P, Any),
    (SYS_recvmsg, P, Any),
    (SYS_sendto, P, Any),
    (SYS_sendmsg, P, Any),
    (SYS_shutdown, P, Any),
    (SYS_getsockopt, P, Any),
    // Threads: one for each vCPU, started by the first one, and one for each directory.
    (SYS_clone, PV, Thread),
    (SYS_clone3, PV, Missing), // its flags cannot be looked at; C libraries then use the other
    (SYS_set_robust_list, PV, Any),
    (SYS_rseq, PV, Any),
    (SYS_sigaltstack, PV, Any),
    (SYS_sched_getaffinity, PV, Any), // a C library that looks for the size of a stack
    (SYS_prctl, PV, OneOf(0, &[15])), // PR_SET_NAME
    (SYS_sched_setattr, P, Any),      // short slices for the thread that serves the devices
    (SYS_sched_yield, PV, Any),
    (SYS_futex, PV, Any),
    (SYS_gettid, PV, Any),
    (SYS_getpid, PV, Any),
    (SYS_tgkill, PV, Own), // the signal that stops vCPUs, and a C library that ends the process
    (SYS_exit, PV, Any),
    (SYS_exit_group, P, Any),
    (SYS_seccomp, P, OneOf(0, &[1])), // fewer system calls still, for a vCPU
    // Signals.
    (SYS_rt_sigaction, P, Any),
    (SYS_rt_sigprocmask, PV, Any),
    (SYS_rt_sigreturn, PV, Any),
    (SYS_restart_syscall, PV, Any),
    // Time and entropy, where the C library cannot have them without a call.
    (SYS_clock_gettime, PV, Any),
    (SYS_getrandom, PV, Any),
    // Directories of the host: files below them, opened by descriptors. Landlock bounds where.
    (SYS_landlock_create_ruleset, D, Any),
    (SYS_landlock_add_rule, D, Any),
    (SYS_landlock_restrict_self, D, Any),
    (SYS_unshare, D, OneOf(0, &[0x200])), // CLONE_FS: a mask of its own for the files that a guest makes
    (SYS_umask, D, Any),
    (SYS_openat, D, Any),
    (SYS_readlinkat, D, Any),
    (SYS_getdents64, D, Any),
    (SYS_mkdirat, D, Any),
    (SYS_mknodat, D, Any),
    (SYS_symlinkat, D, Any),
    (SYS_linkat, D, Any),
    (SYS_unlinkat, D, Any),
    (SYS_renameat2, D, Any),
    (SYS_fchmodat, D, Any),
    (SYS_fchownat, D, Any),
    (SYS_utimensat, D, Any),
    (SYS_fstatfs, D, Any),
    (SYS_copy_file_range, D, Any),
    (SYS_flock, D, Any),
    (SYS_fgetxattr, D, Any),
    (SYS_fsetxattr, D, Any),
    (SYS_flistxattr, D, Any),
    (SYS_fremovexattr, D, Any),
];

const NONE: u32 = 0;
const TO_KERNEL: u32 = 1;
const FROM_KERNEL: u32 = 2;
const BOTH: u32 = 3;

/// There is no such system call.
const ENOSYS: u16 = 38;

/// The number of an `ioctl` request (Linux, `include/uapi/asm-generic/ioctl.h`).
#[expect(clippy::cast_possible_truncation, reason = "the structures are small")]
const fn request<T>(direction: u32, kind: u32, number: u32) -> u32 {
    direction << 30 | (size_of::<T>() as u32) << 16 | kind << 8 | number
}

const fn of_kvm<T>(direction: u32, number: u32) -> u32 {
    request::<T>(direction, kvm::KVMIO, number)
}

/// `ioctl`: what a vCPU's thread needs first, then what the first thread does to set a machine up.
const REQUESTS: &[(u32, Who)] = &[
    (of_kvm::<()>(NONE, 0x80), PV),                      // KVM_RUN
    (of_kvm::<kvm::kvm_irq_level>(TO_KERNEL, 0x61), PV), // KVM_IRQ_LINE
    (of_kvm::<kvm::kvm_ioeventfd>(TO_KERNEL, 0x79), PV), // KVM_IOEVENTFD
    (0x5421, PV),                                        // FIONBIO
    // Further vCPUs, which the guest asks for on the first one.
    (of_kvm::<()>(NONE, 0x41), PV),                          // KVM_CREATE_VCPU
    (of_kvm::<kvm::kvm_cpuid2>(TO_KERNEL, 0x90), PV),        // KVM_SET_CPUID2
    (of_kvm::<kvm::kvm_msrs>(TO_KERNEL, 0x89), PV),          // KVM_SET_MSRS
    (of_kvm::<kvm::kvm_lapic_state>(FROM_KERNEL, 0x8e), PV), // KVM_GET_LAPIC
    (of_kvm::<kvm::kvm_lapic_state>(TO_KERNEL, 0x8f), PV),   // KVM_SET_LAPIC
    // A guest that is saved, on its vCPU's thread.
    (of_kvm::<kvm::kvm_regs>(FROM_KERNEL, 0x81), PV),  // KVM_GET_REGS
    (of_kvm::<kvm::kvm_sregs>(FROM_KERNEL, 0x83), PV), // KVM_GET_SREGS
    (of_kvm::<kvm::kvm_msrs>(BOTH, 0x88), PV),         // KVM_GET_MSRS
    (of_kvm::<kvm::kvm_vcpu_events>(FROM_KERNEL, 0x9f), PV), // KVM_GET_VCPU_EVENTS
    (of_kvm::<kvm::kvm_debugregs>(FROM_KERNEL, 0xa1), PV), // KVM_GET_DEBUGREGS
    (of_kvm::<kvm::kvm_xsave>(FROM_KERNEL, 0xa4), PV), // KVM_GET_XSAVE
    (of_kvm::<kvm::kvm_xcrs>(FROM_KERNEL, 0xa6), PV),  // KVM_GET_XCRS
    (of_kvm::<kvm::kvm_irqchip>(BOTH, 0x62), PV),      // KVM_GET_IRQCHIP
    (of_kvm::<kvm::kvm_clock_data>(FROM_KERNEL, 0x7c), PV), // KVM_GET_CLOCK
    // A machine that is set up.
    (of_kvm::<()>(NONE, 0x01), P),                                    // KVM_CREATE_VM
    (of_kvm::<()>(NONE, 0x03), P),                                    // KVM_CHECK_EXTENSION
    (of_kvm::<()>(NONE, 0x04), P),                                    // KVM_GET_VCPU_MMAP_SIZE
    (of_kvm::<kvm::kvm_cpuid2>(BOTH, 0x05), P),                       // KVM_GET_SUPPORTED_CPUID
    (of_kvm::<kvm::kvm_msr_list>(BOTH, 0x02), P),                     // KVM_GET_MSR_INDEX_LIST
    (of_kvm::<kvm::kvm_userspace_memory_region>(TO_KERNEL, 0x46), P), // KVM_SET_USER_MEMORY_REGION
    (of_kvm::<()>(NONE, 0x47), P),                                    // KVM_SET_TSS_ADDR
    (of_kvm::<()>(NONE, 0x60), P),                                    // KVM_CREATE_IRQCHIP
    (of_kvm::<kvm::kvm_irqchip>(FROM_KERNEL, 0x63), P),               // KVM_SET_IRQCHIP, as KVM has numbered it
    (of_kvm::<kvm::kvm_irqfd>(TO_KERNEL, 0x76), P),                   // KVM_IRQFD
    (of_kvm::<kvm::kvm_clock_data>(TO_KERNEL, 0x7b), P),              // KVM_SET_CLOCK
    (of_kvm::<kvm::kvm_regs>(TO_KERNEL, 0x82), P),                    // KVM_SET_REGS
    (of_kvm::<kvm::kvm_sregs>(TO_KERNEL, 0x84), P),                   // KVM_SET_SREGS
    (of_kvm::<kvm::kvm_vcpu_events>(TO_KERNEL, 0xa0), P),             // KVM_SET_VCPU_EVENTS
    (of_kvm::<kvm::kvm_debugregs>(TO_KERNEL, 0xa2), P),               // KVM_SET_DEBUGREGS
    (of_kvm::<kvm::kvm_xsave>(TO_KERNEL, 0xa5), P),                   // KVM_SET_XSAVE
    (of_kvm::<kvm::kvm_xcrs>(TO_KERNEL, 0xa7), P),                    // KVM_SET_XCRS
    (of_kvm::<[u64; 8]>(BOTH, 0xd5), P),                              // KVM_PRE_FAULT_MEMORY
    // A clone's pages, copied in advance.
    (request::<[u64; 3]>(BOTH, 0xaa, 0x3f), P), // UFFDIO_API
    (request::<[u64; 4]>(BOTH, 0xaa, 0x00), P), // UFFDIO_REGISTER
    (request::<[u64; 5]>(BOTH, 0xaa, 0x03), P), // UFFDIO_COPY
    // A network interface.
    (0x4004_54d0, PV), // TUNSETOFFLOAD
    (0x4004_54d8, P),  // TUNSETVNETHDRSZ
];

/// What a process may do beside, without a look at arguments, from its birth until it is confined: its program is executed, the C library begins, it
/// opens its files and gives up its rights.
const BEFORE: &[c_long] = &[
    // The host agent's thread, and its child that executes the program.
    SYS_clone3,
    SYS_dup2,
    SYS_execve,
    SYS_setpgid,
    SYS_waitid,
    // The C library, and its loader where it has one.
    SYS_access,
    SYS_arch_prctl,
    SYS_mmap,
    SYS_mprotect,
    SYS_open, // musl, which has no use for the newer ones
    SYS_stat,
    SYS_lstat,
    SYS_openat,
    SYS_prlimit64,
    SYS_readlink,
    SYS_set_tid_address,
    SYS_uname,
    // Its files, and its confinement.
    SYS_getsockname,
    SYS_readlinkat,
    SYS_setns,
    SYS_setgroups,
    SYS_setresgid,
    SYS_setresuid,
    SYS_capset,
    SYS_prctl,
    SYS_landlock_create_ruleset,
    SYS_landlock_add_rule,
    SYS_landlock_restrict_self,
    SYS_tgkill,
];

/// What the threads in `who` may do, in the process with the number `own`.
pub fn of(who: Who, own: u32) -> Allowed {
    let is_in = |other: &Who| other.meets(who);
    let rows = CALLS.iter().filter(|(_, other, _)| is_in(other));
    let allowed = rows.filter_map(|(number, _, look)| {
        let check = match look {
            Any => Check::Any,
            NoCode => Check::Bits(2, PROT_EXEC as u32, 0),
            Thread => Check::Bits(0, THREAD | NAMESPACES, THREAD),
            Own => Check::OneOf(0, vec![own]),
            OneOf(argument, values) => Check::OneOf(*argument, values.to_vec()),
            Requests => {
                let requests = REQUESTS.iter().filter(|(_, other)| is_in(other));
                Check::OneOf(1, requests.map(|(request, _)| *request).collect())
            }
            Missing => Check::Fails(ENOSYS),
        };
        Some((u32::try_from(*number).ok()?, check))
    });
    allowed.collect()
}

/// What a process may do from its birth on that may do what is in `list` once it is confined. Nothing is looked at that depends on its number.
pub fn at_birth(mut list: Allowed) -> Allowed {
    let before = BEFORE.iter().filter_map(|number| u32::try_from(*number).ok());
    list.extend(before.map(|number| (number, Check::Any)));
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_call_is_listed_once_and_a_vcpu_may_do_nothing_that_its_process_may_not() {
        let numbers: BTreeSet<c_long> = CALLS.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers.len(), CALLS.len());
        let (process, vcpu) = (of(Who::PROCESS, 1), of(Who::VCPU, 1));
        assert!(vcpu.keys().all(|number| process.contains_key(number)));
        assert!(vcpu.len() < process.len());
    }

    #[test]
    fn what_a_process_may_do_it_may_do_from_its_birth_on() {
        let birth = at_birth(of(Who::PROCESS, 2));
        for (number, check) in of(Who::PROCESS, 1) {
            assert!(
                [Some(&check), Some(&Check::Any)].contains(&birth.get(&number)),
                "{number}"
            );
        }
    }

    #[test]
    fn nobody_opens_connects_or_executes() {
        for who in [Who::PROCESS, Who::VCPU] {
            let list = of(who, 1);
            for number in [
                libc::SYS_open,
                libc::SYS_openat,
                libc::SYS_openat2,
                libc::SYS_socket,
                libc::SYS_connect,
                libc::SYS_execve,
                libc::SYS_execveat,
                libc::SYS_fork,
                libc::SYS_vfork,
                libc::SYS_ptrace,
                libc::SYS_process_vm_readv,
                libc::SYS_mount,
                libc::SYS_kill,
            ] {
                assert!(!list.contains_key(&u32::try_from(number).unwrap()), "{number}");
            }
        }
    }

    #[test]
    fn requests_have_the_numbers_of_the_kernel() {
        let numbers: Vec<u32> = REQUESTS.iter().map(|(number, _)| *number).collect();
        // As other programs' traces show them.
        for known in [
            0xae80,
            0x4008_ae61,
            0x4040_ae79,
            0xae41,
            0x4008_ae90,
            0xc028_aa03,
            0x8208_ae63,
        ] {
            assert!(numbers.contains(&known), "{known:#x} of {numbers:x?}");
        }
    }
}
