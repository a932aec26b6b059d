//! System calls: those that programs expect, and those that must not be there.

use std::ffi::c_long;
use std::io;

use crate::{Report, system};

/// A call and small arguments; whatever it answers but "no such call" shows that it is there.
struct Call(&'static str, c_long, [u16; 5]);

const PRESENT: &[Call] = &[
    Call("add_key", libc::SYS_add_key, [0; 5]),
    Call("bpf", libc::SYS_bpf, [0; 5]),
    Call("clone3", libc::SYS_clone3, [0; 5]),
    Call("copy_file_range", libc::SYS_copy_file_range, [99, 0, 99, 0, 0]),
    Call("epoll_create1", libc::SYS_epoll_create1, [0; 5]),
    Call("eventfd2", libc::SYS_eventfd2, [0; 5]),
    Call("fadvise64", libc::SYS_fadvise64, [0; 5]),
    Call("fanotify_init", libc::SYS_fanotify_init, [0; 5]),
    Call("futex", libc::SYS_futex, [0; 5]),
    Call("futex_waitv", libc::SYS_futex_waitv, [0; 5]),
    Call("inotify_init1", libc::SYS_inotify_init1, [0; 5]),
    Call("io_setup", libc::SYS_io_setup, [1, 0, 0, 0, 0]),
    Call("iopl", libc::SYS_iopl, [3, 0, 0, 0, 0]),
    Call("kcmp", libc::SYS_kcmp, [1, 1, 1, 0, 0]),
    Call("keyctl", libc::SYS_keyctl, [0; 5]),
    Call("madvise", libc::SYS_madvise, [0; 5]),
    Call("membarrier", libc::SYS_membarrier, [0; 5]),
    Call("memfd_create", libc::SYS_memfd_create, [0; 5]),
    Call("memfd_secret", libc::SYS_memfd_secret, [0; 5]),
    Call("msgget", libc::SYS_msgget, [0, 0o600, 0, 0, 0]),
    Call("name_to_handle_at", libc::SYS_name_to_handle_at, [0; 5]),
    Call("openat2", libc::SYS_openat2, [0; 5]),
    Call("perf_event_open", libc::SYS_perf_event_open, [0; 5]),
    Call("pidfd_open", libc::SYS_pidfd_open, [1, 0, 0, 0, 0]),
    Call("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0, 0, 0]),
    Call("ptrace", libc::SYS_ptrace, [0xffff, 0, 0, 0, 0]),
    Call("rseq", libc::SYS_rseq, [0, 0, 0xffff, 0, 0]),
    Call("seccomp", libc::SYS_seccomp, [2, 0, 0, 0, 0]),
    Call("semget", libc::SYS_semget, [0, 1, 0o600, 0, 0]),
    Call("shmget", libc::SYS_shmget, [0, 4096, 0o600, 0, 0]),
    Call("signalfd4", libc::SYS_signalfd4, [0xffff, 0, 8, 0, 0]),
    Call("statx", libc::SYS_statx, [0; 5]),
    Call("timer_create", libc::SYS_timer_create, [0; 5]),
    Call("timerfd_create", libc::SYS_timerfd_create, [1, 0, 0, 0, 0]),
    Call("userfaultfd", libc::SYS_userfaultfd, [0; 5]),
];

/// What lets a guest replace its kernel: left out, so that no privilege inside can use it.
const ABSENT: &[Call] = &[
    Call("init_module", libc::SYS_init_module, [0; 5]),
    Call("kexec_load", libc::SYS_kexec_load, [0; 5]),
    Call("kexec_file_load", libc::SYS_kexec_file_load, [0; 5]),
];

pub fn check(report: &mut Report) -> io::Result<()> {
    for Call(name, number, arguments) in PRESENT {
        let outcome = if is_there(*number, *arguments) {
            Ok(())
        } else {
            Err("no such system call".to_owned())
        };
        report.record(&format!("call {name}"), outcome)?;
    }
    for Call(name, number, arguments) in ABSENT {
        let outcome = if is_there(*number, *arguments) {
            Err("is there".to_owned())
        } else {
            Ok(())
        };
        report.record(&format!("no call {name}"), outcome)?;
    }
    let text = |error: io::Error| error.to_string();
    // The guest agent's doorbell is a port write from user mode; port 0x80 stands for it here.
    report.record(
        "ioperm",
        system::probe(libc::SYS_ioperm, [0x80, 1, 1, 0, 0])
            .map(drop)
            .map_err(text),
    )?;
    report.record("io_uring", system::io_uring(8).map(drop).map_err(text))?;
    report.record(
        "message queue",
        system::message_queue(c"kernel-check").map(drop).map_err(text),
    )
}

fn is_there(number: c_long, arguments: [u16; 5]) -> bool {
    system::probe(number, arguments).map_or_else(|error| error.raw_os_error() != Some(libc::ENOSYS), |_| true)
}
