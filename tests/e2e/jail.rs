//! A VMM that a guest has taken over can do nothing: seen from outside, and tried from inside.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libc::{EACCES, EAFNOSUPPORT, ECHILD, EINVAL, ENETUNREACH, ENOENT, EPERM, EROFS, ESRCH, SIGSYS, c_long};
use tests::host::Host;
use tests::injection::{Outcome, Thread};
use tests::leftovers::{Held, processes};
use tests::patience::until;

use crate::fixture::IDLE;

static HOST: LazyLock<Host> = LazyLock::new(|| {
    let host = Host::start(&[&IDLE[..], &["--no-network"]].concat()).unwrap();
    host.load("busybox").unwrap();
    // What is made for the first task stays.
    let _ = host.run(&[], "busybox", &["true"]).ended_with(0);
    host
});

/// A task that runs, and its VMM.
struct Task {
    name: &'static str,
    vmm: u32,
}

impl Task {
    fn start(name: &'static str, options: &[&str]) -> Self {
        let before = processes(&HOST.runtime()).unwrap();
        let arguments = [&["run", "-d", "--name", name], options, &["busybox", "sleep", "10000"]].concat();
        let _ = HOST.ran(&arguments).ended_with(0);
        let new = until("its VMM runs", || {
            let now = processes(&HOST.runtime()).unwrap();
            now.into_iter().find(|process| !before.contains(process))
        });
        let task = Self { name, vmm: new };
        let _ = HOST.ran(&["exec", name, "true"]).ended_with(0);
        task
    }

    /// The number of its thread of that name.
    fn thread(&self, name: &str) -> i32 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.vmm)).unwrap();
        let mut paths = threads.map(|thread| thread.unwrap().path());
        let found = paths.find(|path| fs::read_to_string(path.join("comm")).unwrap().trim() == name);
        let found = found.unwrap_or_else(|| panic!("no thread {name}"));
        found.file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    fn remove(self) {
        let _ = HOST.ran(&["rm", "--force", self.name]).ended_with(0);
    }
}

/// The members of a file like `/proc/PID/status`.
fn members(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path).unwrap();
    let member = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let words: Vec<&str> = value.split_whitespace().collect();
        Some((name.to_owned(), words.join(" ")))
    };
    text.lines().filter_map(member).collect()
}

/// Checks each thread of `vmm`, of which `capabilities` are those that it has.
#[track_caller]
fn check_threads(vmm: u32, capabilities: &str) -> u32 {
    let mut user = 0;
    for thread in fs::read_dir(format!("/proc/{vmm}/task")).unwrap() {
        let status = members(&thread.unwrap().path().join("status"));
        let ids: Vec<u32> = status["Uid"].split(' ').map(|id| id.parse().unwrap()).collect();
        user = ids[0];
        assert!((0x7000_0000..0x7001_0000).contains(&user), "{status:#?}");
        assert_eq!(ids, [user; 4]);
        assert_eq!(status["Gid"], status["Uid"]);
        for (name, expected) in [
            ("Groups", ""),
            ("CapEff", capabilities),
            ("CapPrm", capabilities),
            ("CapInh", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
            ("CapBnd", "0000000000000000"),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
        ] {
            assert_eq!(status[name], expected, "{name} in {status:#?}");
        }
    }
    user
}

#[test]
fn every_thread_is_nobody_without_a_host() {
    let before = Held::now(&HOST.runtime()).unwrap();
    let (one, other) = (Task::start("jail-1", &["--cpus", "2"]), Task::start("jail-2", &[]));
    let users = [&one, &other].map(|task| check_threads(task.vmm, "0000000000000000"));
    assert_ne!(users[0], users[1]);
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    let theirs = |task: &Task, name: &str| fs::read_link(format!("/proc/{}/ns/{name}", task.vmm)).unwrap();
    for name in ["net", "ipc", "uts", "mnt", "pid", "user"] {
        assert_ne!(theirs(&one, name), own(name), "{name}");
    }
    // No user that is not a VMM's has a number in there.
    for map in ["uid_map", "gid_map"] {
        let map = fs::read_to_string(format!("/proc/{}/{map}", one.vmm)).unwrap();
        let words: Vec<&str> = map.split_whitespace().collect();
        assert_eq!(words, ["1879048192", "1879048192", "65536"]);
    }
    // Of its own, so that it sees no other process; the others hold nothing, so there may be one for all.
    assert_ne!(theirs(&one, "pid"), theirs(&other, "pid"));
    let root = format!("/proc/{}/root/", one.vmm);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    assert_eq!(
        fs::write(Path::new(&root).join("x"), "").unwrap_err().raw_os_error(),
        Some(EROFS)
    );
    let mounts = fs::read_to_string(format!("/proc/{}/mounts", one.vmm)).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    let interfaces = fs::read_to_string(format!("/proc/{}/net/dev", one.vmm)).unwrap();
    assert_eq!(
        interfaces
            .lines()
            .skip(2)
            .filter(|line| !line.trim().starts_with("lo:"))
            .count(),
        0
    );
    let limits = fs::read_to_string(format!("/proc/{}/limits", one.vmm)).unwrap();
    let limit = |name: &str| limits.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    assert!(limit("Max core file size").starts_with("0 "), "{limits}");
    assert!(limit("Max open files").starts_with("8192 "), "{limits}");
    // Nobody but root looks into it.
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(format!("/proc/{}/maps", one.vmm)).unwrap().uid(), 0);
    for descriptor in fs::read_dir(format!("/proc/{}/fd", one.vmm)).unwrap() {
        let target = fs::read_link(descriptor.unwrap().path()).unwrap();
        assert!(!target.is_dir() && !target.starts_with("/proc"), "{}", target.display());
    }
    one.remove();
    other.remove();
    assert_eq!(Held::now(&HOST.runtime()).unwrap(), before);
}

/// What whoever has taken over a VMM would try: the call, its arguments where a text is `TEXT`, and the text.
struct Attempt {
    what: &'static str,
    number: c_long,
    arguments: [u64; 6],
    text: &'static [u8],
    /// The errors that are an answer where the kernel did not look at calls.
    errors: &'static [i32],
}

/// Stands for the address of an attempt's text.
const TEXT: u64 = u64::MAX - 1;

/// Stands for the number of a process that is none of the VMM's: the test's own.
const OTHER: u64 = u64::MAX - 2;

/// The current directory, of calls that take a directory's descriptor.
const HERE: u64 = -100_i64 as u64;

const ATTEMPTS: &[Attempt] = &[
    attempt(
        "open a file",
        libc::SYS_openat,
        [HERE, TEXT, 0, 0, 0, 0],
        b"/etc/passwd",
        &[ENOENT, EACCES],
    ),
    attempt(
        "look at processes",
        libc::SYS_openat,
        [HERE, TEXT, 0, 0, 0, 0],
        b"/proc/1/maps",
        &[ENOENT, EACCES],
    ),
    attempt(
        "open KVM again",
        libc::SYS_openat,
        [HERE, TEXT, 2, 0, 0, 0],
        b"/dev/kvm",
        &[ENOENT, EACCES],
    ),
    attempt(
        "make a file",
        libc::SYS_openat,
        [HERE, TEXT, 0o101, 0o600, 0, 0],
        b"/x",
        &[EROFS, EACCES],
    ),
    attempt(
        "execute",
        libc::SYS_execve,
        [TEXT, 0, 0, 0, 0, 0],
        b"/bin/sh",
        &[ENOENT, EACCES],
    ),
    attempt(
        "trace another process",
        libc::SYS_ptrace,
        [16, OTHER, 0, 0, 0, 0],
        b"",
        &[ESRCH, EPERM],
    ),
    attempt(
        "end another process",
        libc::SYS_kill,
        [OTHER, 9, 0, 0, 0, 0],
        b"",
        &[ESRCH, EPERM],
    ),
    attempt(
        "read another process's memory",
        libc::SYS_process_vm_readv,
        [OTHER, TEXT, 1, TEXT, 1, 0],
        // A `struct iovec`: eight bytes at some address.
        b"\0\0\x01\0\0\0\0\0\x08",
        &[ESRCH, EPERM],
    ),
    attempt(
        "mount",
        libc::SYS_mount,
        [TEXT, TEXT, TEXT, 0, 0, 0],
        b"tmpfs",
        &[EPERM, ENOENT, EACCES],
    ),
    // There is no such user in its namespace, whatever rights it had there.
    attempt("become root", libc::SYS_setresuid, [0, 0, 0, 0, 0, 0], b"", &[EINVAL]),
    attempt(
        "enter a network",
        libc::SYS_unshare,
        [0x4000_0000, 0, 0, 0, 0, 0],
        b"",
        &[EPERM],
    ),
    attempt(
        "set the host's name",
        libc::SYS_sethostname,
        [TEXT, 1, 0, 0, 0, 0],
        b"x",
        &[EPERM],
    ),
    attempt(
        "restart the host",
        libc::SYS_reboot,
        [0xfee1_dead, 672_274_793, 0x89ab_cdef, 0, 0, 0],
        b"",
        &[EPERM],
    ),
];

const fn attempt(
    what: &'static str,
    number: c_long,
    arguments: [u64; 6],
    text: &'static [u8],
    errors: &'static [i32],
) -> Attempt {
    Attempt {
        what,
        number,
        arguments,
        text,
        errors,
    }
}

impl Attempt {
    fn make(&self, thread: &mut Thread) -> Outcome {
        // What is behind the text is zero, and so an empty list where a call takes one.
        let mut bytes = [0; 64];
        bytes[..self.text.len()].copy_from_slice(self.text);
        let place = thread.put(&bytes).unwrap();
        let arguments = self.arguments.map(|argument| match argument {
            TEXT => place,
            OTHER => std::process::id().into(),
            other => other,
        });
        thread.call(self.number, arguments).unwrap()
    }
}

#[test]
fn a_call_that_no_vmm_makes_ends_it() {
    let before = Held::now(&HOST.runtime()).unwrap();
    let sockets = [
        attempt("make a socket", libc::SYS_socket, [2, 1, 0, 0, 0, 0], b"", &[]),
        attempt("fork", libc::SYS_fork, [0; 6], b"", &[]),
        attempt("make a process", libc::SYS_clone, [17, 0, 0, 0, 0, 0], b"", &[]),
        attempt("make memory code", libc::SYS_mprotect, [0, 4096, 5, 0, 0, 0], b"", &[]),
    ];
    // What the thread that serves the devices may do, a vCPU's may not.
    let taken = attempt("take a connection", libc::SYS_accept4, [1, 0, 0, 0, 0, 0], b"", &[]);
    let of_process: Vec<_> = ATTEMPTS.iter().chain(&sockets).collect();
    for (thread, attempts) in [("mote-vmm", of_process), ("vcpu0", vec![&ATTEMPTS[0], &taken])] {
        let task = Task::start("jail-attempt", &[]);
        let mut stopped = Thread::stop(task.thread(thread), true).unwrap();
        // A copy has the jail of the thread that it was made of, and no microVM has to be made for it.
        for attempt in &attempts {
            let mut copy = stopped.copy().unwrap();
            let allowed = copy.call(libc::SYS_futex, [0; 6]).unwrap();
            assert!(matches!(allowed, Outcome::Answered(_)), "{allowed:?}");
            let outcome = attempt.make(&mut copy);
            assert_eq!(outcome, Outcome::Ended(SIGSYS), "{thread} could {}", attempt.what);
        }
        drop(stopped);
        // So is the original ended, and its task says by what.
        let _ = HOST.ran(&["exec", task.name, "true"]).ended_with(0);
        let mut stopped = Thread::stop(task.thread(thread), false).unwrap();
        let outcome = attempts[0].make(&mut stopped);
        drop(stopped);
        // A thread that is not the first one may be gone before it tells of its end.
        let is_over = matches!(outcome, Outcome::Ended(signal) if signal == SIGSYS || thread != "mote-vmm");
        assert!(is_over, "{outcome:?}");
        let inspected = until("the task has ended", || {
            let text = HOST.ran(&["inspect", task.name]).ended_with(0).text();
            text.contains("STOPPED").then_some(text)
        });
        assert!(inspected.contains("signal 31"), "{inspected}");
        task.remove();
    }
    assert_eq!(Held::now(&HOST.runtime()).unwrap(), before);
}

#[test]
fn where_the_kernel_looks_at_no_call_there_still_is_nothing_in_reach() {
    let before = Held::now(&HOST.runtime()).unwrap();
    let task = Task::start("jail-unchecked", &[]);
    let mut thread = Thread::stop(task.thread("mote-vmm"), true).unwrap();
    let failed = |outcome: Outcome, errors: &[i32], what: &str| {
        let is_refused = errors
            .iter()
            .any(|error| outcome == Outcome::Answered(-i64::from(*error)));
        assert!(is_refused, "it could {what}: {outcome:?}");
    };
    for attempt in ATTEMPTS {
        failed(attempt.make(&mut thread), attempt.errors, attempt.what);
    }
    // A socket can be made then, and leads nowhere: neither to the host's own services nor out.
    for address in [[127, 0, 0, 1], [10, 0, 0, 1]] {
        let Outcome::Answered(socket) = thread.call(libc::SYS_socket, [2, 1, 0, 0, 0, 0]).unwrap() else {
            panic!("the VMM has ended");
        };
        assert!(socket >= 0 || socket == -i64::from(EAFNOSUPPORT), "{socket}");
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[2, 0, 0, 22]);
        bytes[4..8].copy_from_slice(&address);
        let place = thread.put(&bytes).unwrap();
        let arguments = [socket.cast_unsigned(), place, 16, 0, 0, 0];
        let connected = thread.call(libc::SYS_connect, arguments).unwrap();
        failed(connected, &[ENETUNREACH, EACCES], "connect");
    }
    // It has no child, and sees no process but itself.
    assert_eq!(thread.call(libc::SYS_getpid, [0; 6]).unwrap(), Outcome::Answered(1));
    let waited = thread.call(libc::SYS_wait4, [-1_i64 as u64, 0, 1, 0, 0, 0]).unwrap();
    failed(waited, &[ECHILD], "have a child");
    drop(thread);
    // It goes on as if nothing had been.
    let _ = HOST.ran(&["exec", task.name, "true"]).ended_with(0);
    task.remove();
    assert_eq!(Held::now(&HOST.runtime()).unwrap(), before);
}
