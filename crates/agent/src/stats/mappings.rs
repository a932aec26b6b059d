//! The mappings of a VMM, told apart by what they are for (`/proc/PID/smaps`, proc_pid_smaps(5)).
//!
//! What is behind the guest's memory is known by its shape, whatever its name is. The guest writes to private mappings of whole huge
//! pages: of the template's file, or of nothing, and then without a reservation of swap or with huge pages wanted. It reads rootfs snapshots from shared
//! mappings that nobody may write or execute. All other mappings are the VMM's own.

use api::stats::MemoryUse;

/// Memory behind a guest comes in pieces of at least this many bytes: the growth step, and a huge page. A program's own data is smaller.
const GUEST_PIECE_LEN_MIN: u64 = 2 << 20;

/// A VMM's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// What is behind the guest's.
    pub guest: MemoryUse,
    /// All else.
    pub vmm: MemoryUse,
}

/// One mapping, as far as its lines were read.
#[derive(Clone, Copy, Debug, Default)]
struct Mapping {
    len: u64,
    is_private: bool,
    is_writable: bool,
    is_executable: bool,
    is_file: bool,
    proportional_kib: u64,
    resident_kib: u64,
    anonymous_kib: u64,
    /// `nr` or `hg`.
    is_guest_like: bool,
}

/// Adds up the mappings of an `smaps`. Lines of unknown meaning are passed over, for kernels add some.
pub fn add_up(text: &str) -> Mapped {
    let mut mapped = Mapped::default();
    let mut current: Option<Mapping> = None;
    for line in text.lines() {
        if let Some(mapping) = header(line) {
            add(&mut mapped, current.replace(mapping));
        } else if let Some(mapping) = &mut current {
            note(mapping, line);
        }
    }
    add(&mut mapped, current);
    mapped
}

/// The first line of a mapping: `55d0-55d2 rw-p 00000000 08:01 1234   /usr/bin/name`.
fn header(line: &str) -> Option<Mapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    let [_, write, execute, share] = words.next()?.as_bytes() else {
        return None;
    };
    let inode = words.nth(2)?;
    Some(Mapping {
        len: address(end)?.checked_sub(address(start)?)?,
        is_private: *share == b'p',
        is_writable: *write == b'w',
        is_executable: *execute == b'x',
        is_file: inode != "0",
        ..Mapping::default()
    })
}

/// A further line of it: `Pss:      12 kB`, or `VmFlags: rd wr`.
fn note(mapping: &mut Mapping, line: &str) {
    let Some((name, value)) = line.split_once(':') else {
        return;
    };
    let kib = || value.trim().strip_suffix(" kB")?.parse().ok();
    match name {
        "Pss" => mapping.proportional_kib = kib().unwrap_or_default(),
        "Rss" => mapping.resident_kib = kib().unwrap_or_default(),
        "Anonymous" => mapping.anonymous_kib = kib().unwrap_or_default(),
        "VmFlags" => mapping.is_guest_like = value.split_ascii_whitespace().any(|flag| flag == "nr" || flag == "hg"),
        _ => {}
    }
}

fn add(mapped: &mut Mapped, mapping: Option<Mapping>) {
    let Some(mapping) = mapping else { return };
    let of = if mapping.is_guest() {
        &mut mapped.guest
    } else {
        &mut mapped.vmm
    };
    let bytes = |kib: u64| kib.saturating_mul(1024);
    let grow = |sum: &mut u64, kib| *sum = sum.saturating_add(bytes(kib));
    grow(&mut of.proportional_bytes, mapping.proportional_kib);
    // Not the kernel's "Private": a page of a file that only one process maps now still is not that process's own.
    grow(&mut of.private_bytes, mapping.anonymous_kib);
    grow(
        &mut of.shared_bytes,
        mapping.resident_kib.saturating_sub(mapping.anonymous_kib),
    );
}

impl Mapping {
    const fn is_guest(&self) -> bool {
        if self.is_private {
            self.is_writable && self.len >= GUEST_PIECE_LEN_MIN && (self.is_file || self.is_guest_like)
        } else {
            self.is_file && !self.is_writable && !self.is_executable
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use std::io::{Read, Write};
    use std::process::Stdio;

    /// A mapping as the kernel writes it, in KiB.
    fn mapping(
        range: &str,
        mode: &str,
        inode: u32,
        name: &str,
        [rss, pss, anonymous]: [u64; 3],
        flags: &str,
    ) -> String {
        format!(
            "{range} {mode} 00000000 00:2a {inode}                          {name}\n\
             Size:              65536 kB\nKernelPageSize:        4 kB\nRss:               {rss} kB\nPss:               {pss} kB\n\
             Pss_Dirty:            99 kB\nShared_Clean:          0 kB\nPrivate_Dirty:       999 kB\nAnonymous:         {anonymous} kB\n\
             AnonHugePages:         0 kB\nTHPeligible:           1\nProtectionKey:         0\nVmFlags: {flags}\n"
        )
    }

    const MIB_64: &str = "7f0000000000-7f0004000000";
    const KIB_132: &str = "7f1000000000-7f1000021000";

    fn check(text: &str, guest: [u64; 3], vmm: [u64; 3]) {
        let of = |[proportional, private, shared]: [u64; 3]| MemoryUse {
            proportional_bytes: proportional << 10,
            private_bytes: private << 10,
            shared_bytes: shared << 10,
        };
        let expected = Mapped {
            guest: of(guest),
            vmm: of(vmm),
        };
        assert_eq!(add_up(text), expected, "{text}");
    }

    #[test]
    fn a_clones_memory_is_the_guests_copies_and_the_templates_pages() {
        let text = mapping(
            MIB_64,
            "rw-p",
            7,
            "/run/mote/template/3f2a/memory",
            [5000, 400, 300],
            "rd wr mr mw me nr hg",
        );
        check(&text, [400, 300, 4700], [0, 0, 0]);
    }

    #[test]
    fn memory_without_a_file_is_the_guests_where_it_is_mapped_as_that() {
        let grown = mapping(MIB_64, "rw-p", 0, "", [800, 800, 800], "rd wr mr mw me nr hg sd");
        check(&grown, [800, 800, 0], [0, 0, 0]);
        let stack = mapping(MIB_64, "rw-p", 0, "", [40, 40, 40], "rd wr mr mw me ac");
        check(&stack, [0, 0, 0], [40, 40, 0]);
        // glibc reserves no swap for its arenas either, but uses little of them.
        let arena = mapping(KIB_132, "rw-p", 0, "", [12, 12, 12], "rd wr mr mw me nr");
        check(&arena, [0, 0, 0], [12, 12, 0]);
    }

    #[test]
    fn a_rootfs_snapshot_is_the_guests_and_costs_no_private_page() {
        let text = mapping(
            MIB_64,
            "r--s",
            9,
            "/var/lib/mote/images/layers/0a",
            [2048, 128, 0],
            "rd mr me ms sd",
        );
        check(&text, [128, 0, 2048], [0, 0, 0]);
    }

    #[test]
    fn the_rest_is_the_vmms() {
        let text = [
            mapping(
                "00400000-00700000",
                "r-xp",
                3,
                "/usr/local/bin/mote-vmm",
                [900, 90, 0],
                "rd ex mr mw me",
            ),
            mapping(
                "00900000-00910000",
                "rw-p",
                3,
                "/usr/local/bin/mote-vmm",
                [64, 40, 40],
                "rd wr mr mw me",
            ),
            mapping(
                "00910000-00940000",
                "rw-p",
                0,
                "[heap]",
                [100, 100, 100],
                "rd wr mr mw me ac",
            ),
            mapping(
                "7f2000000000-7f2000003000",
                "rw-s",
                5,
                "anon_inode:kvm-vcpu:0",
                [8, 8, 0],
                "rd wr sh mr",
            ),
        ];
        check(&text.concat(), [0, 0, 0], [238, 140, 900 + 24 + 8]);
    }

    #[test]
    fn every_resident_page_of_a_real_process_is_either_private_or_shared() {
        let mut cat = std::process::Command::new("cat");
        let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Once it has answered, it waits, and maps nothing more.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", child.id())).unwrap();
        let (smaps, rollup) = (read("smaps"), read("smaps_rollup"));
        child.kill().unwrap();
        child.wait().unwrap();
        let line = rollup.lines().find(|line| line.starts_with("Rss:")).unwrap();
        let resident_kib: u64 = line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
        let mapped = add_up(&smaps);
        let of = |memory: MemoryUse| (memory.private_bytes + memory.shared_bytes) >> 10;
        assert_eq!(of(mapped.guest) + of(mapped.vmm), resident_kib);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "([0-9a-f]{1,20}-[0-9a-f]{1,20} [rwxps-]{0,5} [0-9 ]{0,20}\n|(Pss|Rss|Anonymous|VmFlags): {1,9}[0-9]{0,30}( kB)?\n|.{0,20}\n){0,20}") {
            let _ = add_up(&text);
        }
    }
}
