//! The command lines of QEMU and virtiofsd, decided without touching anything.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::options::{Accelerator, HostFiles, Options};
use crate::wire::{CONTROL_PORT, HOST_ROOT_TAG, RELAY_PORT, share_tag};

/// The kernel's command line. Most of it saves work that an emulated CPU does slowly: checks of clocks, self-tests, mitigations. Without debugfs
/// KVM does not make some sixty files for each virtual machine, which no production host needs; no thread for each one puts huge pages together again
/// that a flaw of some Intel processors makes it split; and guests' timers are right although the clock is measured twice (docs/decisions/0008).
const KERNEL_ARGUMENTS: &[&str] = &[
    "console=ttyS0",
    "quiet",
    "loglevel=3",
    "panic=-1",
    "mitigations=off",
    "tsc=reliable",
    "clocksource=tsc",
    "no_timer_check",
    "nowatchdog",
    "audit=0",
    "apparmor=0",
    "8250.nr_uarts=1",
    "random.trust_cpu=on",
    "rcupdate.rcu_expedited=1",
    "cryptomgr.notests",
    "debugfs=off",
    "kvm.nx_huge_pages=never",
    "kvm.tsc_tolerance_ppm=10000",
    "transparent_hugepage=madvise",
    "cgroup_no_v1=all",
    // The one network interface is eth0.
    "net.ifnames=0",
];

/// Room for translated code in MiB: nested virtualization throws much of it away when it has to make room.
const TRANSLATION_CACHE_MIB: u32 = 1024;

/// A directory that the machine sees, and the connected socket of the virtiofsd that serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedDirectory {
    /// The directory on the host.
    pub source: PathBuf,
    /// What the machine mounts it by.
    pub tag: String,
    /// Whether the machine changes it.
    pub writable: bool,
    /// The socket that virtiofsd listens on.
    pub socket: PathBuf,
}

/// The directories of a machine, their sockets in `directory`.
pub fn shared_directories(options: &Options, directory: &Path) -> Vec<SharedDirectory> {
    let root = SharedDirectory {
        source: PathBuf::from("/"),
        tag: HOST_ROOT_TAG.to_owned(),
        writable: false,
        socket: directory.join("hostroot.sock"),
    };
    let shares = options
        .shares
        .iter()
        .enumerate()
        .map(|(index, source)| SharedDirectory {
            source: source.clone(),
            tag: share_tag(index),
            writable: true,
            socket: directory.join(format!("share{index}.sock")),
        });
    std::iter::once(root).chain(shares).collect()
}

/// The arguments of the virtiofsd for `shared`, which takes its listening socket as descriptor `listener`.
pub fn virtiofsd_arguments(shared: &SharedDirectory, host_files: HostFiles, listener: RawFd) -> Vec<OsString> {
    let cache = match (shared.writable, host_files) {
        (false, HostFiles::Fixed) => "always",
        (true, _) | (false, HostFiles::Changing) => "auto",
    };
    let mut source = OsString::from("source=");
    source.push(fuse_option_value(&shared.source));
    vec![
        format!("--fd={listener}").into(),
        "-o".into(),
        source,
        "-o".into(),
        // A namespace's pivot_root is impossible when the source is "/".
        "sandbox=chroot".into(),
        "-o".into(),
        format!("cache={cache}").into(),
        "-o".into(),
        if shared.writable {
            "xattr,flock,no_posix_lock"
        } else {
            "xattr,no_posix_lock"
        }
        .into(),
    ]
}

/// The files QEMU runs on, see `scripts/machine.sh`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Files {
    /// QEMU, version 9 or newer.
    pub qemu: PathBuf,
    /// The directory of its firmware.
    pub firmware: PathBuf,
    /// virtiofsd, the one written in C.
    pub virtiofsd: PathBuf,
    /// The machine's kernel, uncompressed.
    pub kernel: PathBuf,
    /// The initramfs with our init.
    pub initramfs: PathBuf,
    /// The directory that holds `lib/modules`.
    pub modules: PathBuf,
}

/// What QEMU is given besides files and options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connections {
    /// Descriptor of the control port's socket.
    pub control: RawFd,
    /// Port of the host's loopback for the relay.
    pub relay_port: u16,
    /// Where the console's output goes.
    pub console: PathBuf,
    /// The directories, each served already.
    pub shared: Vec<SharedDirectory>,
}

/// QEMU's arguments.
pub fn arguments(options: &Options, files: &Files, connections: &Connections) -> Vec<OsString> {
    let mut arguments = Arguments::default();
    add_processor(&mut arguments, options);
    add_board(&mut arguments, options, files);
    arguments.pair("-serial", join("file:", &connections.console));
    arguments.pair("-device", "virtio-serial-pci");
    arguments.pair("-chardev", format!("socket,id=control,fd={}", connections.control));
    arguments.pair("-device", format!("virtserialport,chardev=control,name={CONTROL_PORT}"));
    for (index, shared) in connections.shared.iter().enumerate() {
        arguments.pair("-chardev", join(&format!("socket,id=fs{index},path="), &shared.socket));
        arguments.pair(
            "-device",
            format!("vhost-user-fs-pci,chardev=fs{index},tag={}", shared.tag),
        );
    }
    add_network(&mut arguments, options, connections.relay_port);
    if let Some(disk) = &options.data_disk {
        arguments.pair(
            "-drive",
            join("if=none,id=data,format=raw,discard=unmap,file=", &disk.path),
        );
        arguments.pair("-device", "virtio-blk-pci,drive=data");
    }
    arguments.0
}

fn add_processor(arguments: &mut Arguments, options: &Options) {
    let (accelerator, processor) = match options.accelerator {
        Accelerator::Emulation => (
            format!("tcg,thread=multi,tb-size={TRANSLATION_CACHE_MIB}"),
            "EPYC,+svm,+npt",
        ),
        Accelerator::InstructionCount => (
            format!("tcg,thread=single,tb-size={TRANSLATION_CACHE_MIB}"),
            "EPYC,+svm,+npt",
        ),
        Accelerator::Kvm => ("kvm".to_owned(), "host"),
    };
    arguments.pair("-accel", accelerator);
    arguments.pair("-cpu", processor);
    if options.accelerator == Accelerator::InstructionCount {
        arguments.pair("-icount", "shift=0,sleep=off");
        arguments.pair("-smp", "1");
    } else {
        arguments.pair("-smp", options.cpus.to_string());
    }
}

fn add_board(arguments: &mut Arguments, options: &Options, files: &Files) {
    arguments.pair("-machine", "q35,memory-backend=memory,smm=off,vmport=off,hpet=off");
    // virtiofsd reads and writes the machine's memory.
    arguments.pair(
        "-object",
        format!("memory-backend-memfd,id=memory,size={}M,share=on", options.memory_mib),
    );
    arguments.pair("-m", options.memory_mib.to_string());
    arguments.flag("-nodefaults");
    arguments.flag("-no-user-config");
    arguments.pair("-display", "none");
    arguments.flag("-no-reboot");
    arguments.pair("-L", &files.firmware);
    arguments.pair("-kernel", &files.kernel);
    arguments.pair("-initrd", &files.initramfs);
    let ours = KERNEL_ARGUMENTS.iter().copied();
    let command_line: Vec<&str> = ours
        .chain(options.kernel_arguments.iter().map(String::as_str))
        .collect();
    arguments.pair("-append", command_line.join(" "));
}

fn add_network(arguments: &mut Arguments, options: &Options, relay_port: u16) {
    let mut network = format!("user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:{relay_port}-:{RELAY_PORT}");
    for forward in &options.forwards {
        network.push_str(&format!(
            ",hostfwd=tcp:127.0.0.1:{}-:{}",
            forward.host_port, forward.machine_port
        ));
    }
    arguments.pair("-netdev", network);
    // No boot from the network, so no ROM for it.
    arguments.pair("-device", "virtio-net-pci,netdev=net,romfile=");
}

/// virtiofsd's options are libfuse's: a backslash takes a comma's meaning away.
fn fuse_option_value(path: &Path) -> OsString {
    let escaped = path.as_os_str().as_bytes().iter().flat_map(|byte| {
        let escape: &[u8] = if matches!(byte, b',' | b'\\') { b"\\" } else { b"" };
        escape.iter().copied().chain([*byte])
    });
    OsString::from_vec(escaped.collect())
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(&mut self, name: &str) {
        self.0.push(name.into());
    }

    fn pair(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }
}

/// `prefix` and a path as part of an option that commas separate.
fn join(prefix: &str, path: &Path) -> OsString {
    let mut joined = OsString::from(prefix);
    joined.push(option_value(path));
    joined
}

/// QEMU takes a doubled comma for one that separates nothing.
fn option_value(path: &Path) -> OsString {
    let doubled = path.as_os_str().as_bytes().iter().flat_map(|byte| {
        let copies = if *byte == b',' { 2 } else { 1 };
        std::iter::repeat_n(*byte, copies)
    });
    OsString::from_vec(doubled.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::options::{DataDisk, Forward};

    fn files() -> Files {
        Files {
            qemu: "/parts/qemu".into(),
            firmware: "/parts/firmware".into(),
            virtiofsd: "/parts/virtiofsd".into(),
            kernel: "/parts/vmlinux".into(),
            initramfs: "/parts/initramfs".into(),
            modules: "/parts/modules".into(),
        }
    }

    fn plan(options: &Options) -> Vec<String> {
        let shared = shared_directories(options, Path::new("/state"));
        let connections = Connections {
            control: 7,
            relay_port: 4000,
            console: "/state/console.log".into(),
            shared,
        };
        arguments(options, &files(), &connections)
            .into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect()
    }

    /// The values of every option with this name.
    fn values<'a>(plan: &'a [String], name: &str) -> Vec<&'a str> {
        plan.windows(2)
            .filter(|pair| pair[0] == name)
            .map(|pair| pair[1].as_str())
            .collect()
    }

    #[test]
    fn a_counted_machine_has_one_cpu() {
        let plan = plan(&Options {
            accelerator: Accelerator::InstructionCount,
            cpus: 8,
            ..Options::default()
        });
        assert_eq!(values(&plan, "-smp"), ["1"]);
        assert_eq!(values(&plan, "-icount"), ["shift=0,sleep=off"]);
    }

    #[test]
    fn an_emulated_machine_has_nested_virtualization() {
        let plan = plan(&Options::default());
        assert_eq!(values(&plan, "-cpu"), ["EPYC,+svm,+npt"]);
        assert!(values(&plan, "-icount").is_empty());
    }

    #[test]
    fn every_share_has_a_device_of_its_tag() {
        let plan = plan(&Options {
            shares: vec!["/a".into(), "/b".into()],
            ..Options::default()
        });
        let devices: Vec<&str> = values(&plan, "-device")
            .into_iter()
            .filter(|device| device.contains("fs-pci"))
            .collect();
        let expected = ["hostroot", "share0", "share1"].iter().enumerate();
        let expected: Vec<String> = expected
            .map(|(n, tag)| format!("vhost-user-fs-pci,chardev=fs{n},tag={tag}"))
            .collect();
        assert_eq!(devices, expected);
    }

    #[test]
    fn only_what_is_asked_for_is_forwarded() {
        let forwards = vec![Forward {
            host_port: 8080,
            machine_port: 80,
        }];
        let plan = plan(&Options {
            forwards,
            ..Options::default()
        });
        let expected = "user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:4000-:1,hostfwd=tcp:127.0.0.1:8080-:80";
        assert_eq!(values(&plan, "-netdev"), [expected]);
    }

    #[test]
    fn a_data_disk_is_given_as_it_is_named() {
        let data_disk = Some(DataDisk {
            path: "/disks/a,b".into(),
            size_mib: 1,
        });
        let plan = plan(&Options {
            data_disk,
            ..Options::default()
        });
        assert_eq!(
            values(&plan, "-drive"),
            ["if=none,id=data,format=raw,discard=unmap,file=/disks/a,,b"]
        );
    }

    #[test]
    fn only_files_that_stay_as_they_are_are_cached_for_good() {
        let check = |writable: bool, host_files: HostFiles, expected: &str| {
            let shared = SharedDirectory {
                source: "/".into(),
                tag: String::new(),
                writable,
                socket: PathBuf::new(),
            };
            let arguments = virtiofsd_arguments(&shared, host_files, 3);
            assert!(arguments.contains(&OsString::from(expected)), "{arguments:?}");
        };
        check(false, HostFiles::Fixed, "cache=always");
        check(false, HostFiles::Changing, "cache=auto");
        check(true, HostFiles::Fixed, "cache=auto");
    }

    #[test]
    fn virtiofsd_takes_any_path_as_its_source() {
        let shared = SharedDirectory {
            source: "/a,b\\c".into(),
            tag: String::new(),
            writable: true,
            socket: PathBuf::new(),
        };
        let arguments = virtiofsd_arguments(&shared, HostFiles::Fixed, 3);
        assert!(
            arguments.contains(&OsString::from("source=/a\\,b\\\\c")),
            "{arguments:?}"
        );
    }

    proptest! {
        #[test]
        fn no_path_breaks_out_of_its_option(path in "[a-z,=/]{0,40}") {
            let value = option_value(Path::new(&path)).into_string().unwrap();
            prop_assert_eq!(value.replace(",,", ""), path.replace(',', ""));
        }
    }
}
