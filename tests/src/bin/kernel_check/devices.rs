//! Drivers and machinery: virtio, CPUs and memory that come and go, and what has no place in a microVM.

use std::fs;
use std::io;
use std::path::Path;

use protocol::guest::DOORBELL_VCPUS;

use crate::system::Doorbell;
use crate::{Outcome, Report};

const VIRTIO_DRIVERS: &[&str] = &[
    "virtio_balloon",
    "virtio_blk",
    "virtio_mem",
    "virtio_net",
    "virtio_pmem",
    "virtio_rng",
    "vmw_vsock_virtio_transport",
];

const PRESENT: &[&str] = &[
    // The guest agent binds a plugged slot by writing its name here.
    "/sys/bus/platform/drivers/virtio-mmio/bind",
    "/sys/bus/nd/drivers/nd_pmem",
    "/dev/full",
    "/dev/fuse",
    "/dev/hwrng",
    "/dev/kmsg",
    "/dev/null",
    "/dev/ptmx",
    "/dev/random",
    "/dev/tty",
    "/dev/urandom",
    "/dev/vsock",
    "/dev/zero",
];

/// Each costs boot time and memory, or widens what a container may attack.
const ABSENT: &[&str] = &[
    "/dev/mem",
    "/dev/port",
    "/dev/tty1",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/modules",
    "/sys/bus/pci",
    "/sys/bus/usb",
    "/sys/firmware/acpi",
    "/sys/kernel/debug/tracing",
];

/// A file and a word in it.
const WORDS: &[(&str, &str)] = &[
    ("/sys/devices/system/memory/auto_online_blocks", "online_kernel"),
    ("/proc/sys/kernel/dmesg_restrict", "1"),
    ("/proc/sys/kernel/panic", "-1"),
    ("/proc/sys/kernel/panic_on_oops", "1"),
    ("/proc/sys/kernel/unprivileged_bpf_disabled", "2"),
    ("/proc/sys/vm/mmap_min_addr", "65536"),
];

pub fn check(report: &mut Report) -> io::Result<()> {
    for name in VIRTIO_DRIVERS {
        report.record(
            &format!("driver {name}"),
            exists(&format!("/sys/bus/virtio/drivers/{name}")),
        )?;
    }
    for path in PRESENT {
        report.record(path, exists(path))?;
    }
    for path in ABSENT {
        let outcome = if Path::new(path).exists() {
            Err("is there".to_owned())
        } else {
            Ok(())
        };
        report.record(&format!("no {path}"), outcome)?;
    }
    for (path, word) in WORDS {
        report.record(&format!("{path} says {word}"), says(path, word))?;
    }
    report.record("huge pages for those who ask", huge_pages())?;
    report.record("CPU goes and comes back", cpu_cycle())
}

fn exists(path: &str) -> Outcome {
    if Path::new(path).exists() {
        Ok(())
    } else {
        Err("is not there".to_owned())
    }
}

fn says(path: &str, word: &str) -> Outcome {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    if text.split_whitespace().any(|found| found == word) {
        Ok(())
    } else {
        Err(format!("says {}", text.trim()))
    }
}

/// A machine of less than 512 MiB starts without huge pages; the guest agent turns them on when it has grown.
fn huge_pages() -> Outcome {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    fs::write(path, "madvise").map_err(|error| error.to_string())?;
    says(path, "[madvise]")
}

/// Takes CPU 1 in and out again, for the kernel is started with `maxcpus=1`; the VMM makes it when it is told.
fn cpu_cycle() -> Outcome {
    let doorbell = Doorbell::open().map_err(|error| format!("cannot open the doorbell: {error}"))?;
    doorbell.ring(DOORBELL_VCPUS);
    let path = "/sys/devices/system/cpu/cpu1/online";
    let before = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let other = if before.trim() == "1" { "0" } else { "1" };
    for state in [other, before.trim()] {
        fs::write(path, state).map_err(|error| format!("cannot set CPU 1 to {state}: {error}"))?;
    }
    Ok(())
}
