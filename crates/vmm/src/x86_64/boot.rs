//! Puts a kernel, its initramfs and what it must be told into guest memory, ready for the PVH entry.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use linux_loader::cmdline::Cmdline;
use linux_loader::configurator::pvh::PvhBootConfigurator;
use linux_loader::configurator::{self, BootConfigurator, BootParams};
use linux_loader::loader::elf::start_info::{
    XEN_HVM_MEMMAP_TYPE_RAM, XEN_HVM_START_MAGIC_VALUE, hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info,
};
use linux_loader::loader::{self, Elf, KernelLoader, PvhBootCapability, elf, load_cmdline};
use vm_memory::mmap::FromRangesError;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError, GuestMemoryMmap};

use crate::x86_64::layout::{
    BASE, COMMAND_LINE, HIGH_MEMORY, MEMORY_MAP, MODULE_LIST, MP_FLOATING_POINTER, Range, START_INFO, usable,
};
use crate::x86_64::mp_table;
use protocol::vmm::{BASE_MEMORY_MIB, VCPUS_MAX};

const MIB: u64 = 1 << 20;
const PAGE_BYTES: u64 = 4096;
/// Memory in which every kernel has room.
const PROBE_BYTES: u64 = 2 << 30;
/// Of `hvm_start_info`, the version that has a memory map.
const START_INFO_VERSION: u32 = 1;

/// The entry point of a kernel: the initial `rip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub u64);

/// A file that is booted from.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    file: File,
}

impl Image {
    /// The file at `path`, which is to be the `kernel` or the `initramfs`.
    ///
    /// # Errors
    /// Where it is not there, or may not be read.
    pub fn open(what: &'static str, path: &Path) -> Result<Self, BootError> {
        let path = path.to_owned();
        match File::open(&path) {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(BootError::Open { what, path, source }),
        }
    }
}

/// What to boot, and on what.
pub struct Boot<'a> {
    /// An uncompressed ELF image with a PVH entry.
    pub kernel: Image,
    /// The initramfs, compressed or not.
    pub initramfs: Image,
    /// The kernel's command line.
    pub command_line: &'a Cmdline,
}

/// Why a guest cannot be booted.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The kernel or the initramfs is not there, or may not be read.
    #[error("cannot open the {what} {}", path.display())]
    Open {
        /// `kernel` or `initramfs`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel is something else: a compressed `bzImage`, perhaps.
    #[error("the kernel {} is not an ELF image (an uncompressed vmlinux is wanted)", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
    },
    /// The kernel's image is damaged.
    #[error("cannot load the kernel {}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What the loader found.
        source: elf::Error,
    },
    /// The kernel was built without the entry point that is used here.
    #[error("the kernel {} has no PVH entry (it was built without CONFIG_PVH)", path.display())]
    NoEntry {
        /// The file.
        path: PathBuf,
    },
    /// Kernel and initramfs do not fit.
    #[error("kernel and initramfs take {needed_mib} MiB, more than the {BASE_MEMORY_MIB} MiB that a guest boots with")]
    TooLarge {
        /// What they take.
        needed_mib: u64,
    },
    /// The initramfs could not be read to its end.
    #[error("cannot read the initramfs {}", path.display())]
    ReadInitramfs {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: GuestMemoryError,
    },
    /// A table could not be written.
    #[error("cannot write the {what} into guest memory")]
    Table {
        /// Which.
        what: &'static str,
        /// What failed.
        source: GuestMemoryError,
    },
    /// The command line could not be written.
    #[error("cannot write the command line into guest memory")]
    CommandLine(#[source] loader::Error),
    /// The start info could not be written.
    #[error("cannot write the start info into guest memory")]
    StartInfo(#[source] configurator::Error),
    /// No memory to find out how much a kernel takes.
    #[error("cannot map memory")]
    Map(#[source] FromRangesError),
}

/// Writes everything into `memory`.
///
/// # Errors
/// Where a file is missing or unfit, or the memory too small.
pub fn load(memory: &GuestMemoryMmap, boot: Boot<'_>) -> Result<Entry, BootError> {
    let (entry, kernel_end) = load_kernel(memory, boot.kernel)?;
    let initramfs = load_initramfs(memory, boot.initramfs, kernel_end)?;
    let table = mp_table::bytes(VCPUS_MAX);
    memory
        .write_slice(&table, GuestAddress(MP_FLOATING_POINTER))
        .map_err(|source| BootError::Table {
            what: "MP table",
            source,
        })?;
    load_cmdline(memory, GuestAddress(COMMAND_LINE), boot.command_line).map_err(BootError::CommandLine)?;
    write_start_info(memory, initramfs, &usable()).map_err(BootError::StartInfo)?;
    Ok(entry)
}

/// Loads the kernel; gives its entry and its end.
fn load_kernel(memory: &GuestMemoryMmap, kernel: Image) -> Result<(Entry, u64), BootError> {
    let Image { path, mut file } = kernel;
    let loaded = match Elf::load(memory, None, &mut file, Some(GuestAddress(HIGH_MEMORY))) {
        Ok(loaded) => loaded,
        Err(loader::Error::Elf(elf::Error::InvalidElfMagicNumber | elf::Error::ReadElfHeader)) => {
            return Err(BootError::NotElf { path });
        }
        Err(loader::Error::Elf(elf::Error::ReadKernelImage)) => return Err(too_large_or_damaged(path, file)),
        Err(loader::Error::Elf(source)) => {
            return Err(BootError::Load { path, source });
        }
        // What is left is an image that reaches beyond all addresses.
        Err(_) => return Err(too_large(u64::MAX)),
    };
    match loaded.pvh_boot_cap {
        PvhBootCapability::PvhEntryPresent(entry) => Ok((Entry(entry.0), loaded.kernel_end)),
        _ => Err(BootError::NoEntry { path }),
    }
}

/// The loader does not tell a kernel that is too large from a file cut short; much more memory does.
fn too_large_or_damaged(path: PathBuf, mut file: File) -> BootError {
    let bytes = usize::try_from(PROBE_BYTES).unwrap_or(usize::MAX);
    let largest = match GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), bytes)]) {
        Ok(largest) => largest,
        Err(error) => return BootError::Map(error),
    };
    match Elf::load(&largest, None, &mut file, None) {
        Ok(loaded) => too_large(loaded.kernel_end),
        Err(_) => BootError::Load {
            path,
            source: elf::Error::ReadKernelImage,
        },
    }
}

fn too_large(needed: u64) -> BootError {
    BootError::TooLarge {
        needed_mib: needed.div_ceil(MIB),
    }
}

/// Loads the initramfs to the end of base memory, behind the kernel.
fn load_initramfs(memory: &GuestMemoryMmap, initramfs: Image, kernel_end: u64) -> Result<Range, BootError> {
    let Image { path, mut file } = initramfs;
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(source) => {
            let what = "initramfs";
            return Err(BootError::Open { what, path, source });
        }
    };
    let bytes = metadata.len();
    let range = place_initramfs(bytes, kernel_end)?;
    // It fits below 3 GiB: no overflow.
    let count = usize::try_from(bytes).unwrap_or(usize::MAX);
    memory
        .read_exact_volatile_from(GuestAddress(range.start), &mut file, count)
        .map_err(|source| BootError::ReadInitramfs { path, source })?;
    Ok(range)
}

fn place_initramfs(bytes: u64, kernel_end: u64) -> Result<Range, BootError> {
    let start = BASE.bytes.checked_sub(bytes).map(|start| start - start % PAGE_BYTES);
    match start.filter(|start| *start >= kernel_end) {
        Some(start) => Ok(Range { start, bytes }),
        None => Err(too_large(kernel_end.saturating_add(bytes).saturating_add(PAGE_BYTES))),
    }
}

fn write_start_info(memory: &GuestMemoryMmap, initramfs: Range, usable: &[Range]) -> configurator::Result<()> {
    let map: Vec<_> = usable.iter().copied().map(map_entry).collect();
    let module = hvm_modlist_entry {
        paddr: initramfs.start,
        size: initramfs.bytes,
        ..Default::default()
    };
    let start_info = hvm_start_info {
        magic: XEN_HVM_START_MAGIC_VALUE,
        version: START_INFO_VERSION,
        nr_modules: 1,
        modlist_paddr: MODULE_LIST,
        cmdline_paddr: COMMAND_LINE,
        memmap_paddr: MEMORY_MAP,
        // At most three ranges.
        memmap_entries: u32::try_from(map.len()).unwrap_or_default(),
        ..Default::default()
    };
    let mut params = BootParams::new(&start_info, GuestAddress(START_INFO));
    params.set_sections(&map, GuestAddress(MEMORY_MAP));
    params.set_modules(&[module], GuestAddress(MODULE_LIST));
    PvhBootConfigurator::write_bootparams(&params, memory)
}

fn map_entry(range: Range) -> hvm_memmap_table_entry {
    hvm_memmap_table_entry {
        addr: range.start,
        size: range.bytes,
        type_: XEN_HVM_MEMMAP_TYPE_RAM,
        reserved: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;
    use std::fs;

    const LOAD_ADDRESS: u64 = 0x20_0000;
    const ENTRY: u32 = 0x20_0040;

    /// An ELF image with one segment of `bytes` bytes, and a note with the PVH entry where `pvh` is set.
    fn image(bytes: u64, pvh: bool) -> Vec<u8> {
        let headers = 64 + 2 * 56;
        let note = [
            [4_u32, 4, 18].map(u32::to_le_bytes).concat(),
            b"Xen\0".to_vec(),
            ENTRY.to_le_bytes().to_vec(),
        ]
        .concat();
        let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        image.extend([[2_u16, 62].map(u16::to_le_bytes).concat(), 1_u32.to_le_bytes().to_vec()].concat());
        image.extend([LOAD_ADDRESS, 64, 0].map(u64::to_le_bytes).concat());
        image.extend(0_u32.to_le_bytes());
        image.extend([64_u16, 56, 2, 0, 0, 0].map(u16::to_le_bytes).concat());
        let mut segment = |kind: u32, fields: [u64; 6]| {
            image.extend([kind, 0].map(u32::to_le_bytes).concat());
            image.extend(fields.map(u64::to_le_bytes).concat());
        };
        let kind = if pvh { 4 } else { 0 };
        segment(kind, [headers, 0, 0, note.len() as u64, note.len() as u64, 4]);
        segment(
            1,
            [
                headers + note.len() as u64,
                LOAD_ADDRESS,
                LOAD_ADDRESS,
                bytes,
                bytes,
                4096,
            ],
        );
        image.extend(note);
        image.resize(image.len() + usize::try_from(bytes).unwrap(), 0x90);
        image
    }

    fn boot(kernel: &[u8], initramfs: &[u8]) -> (GuestMemoryMmap, Result<Entry, String>) {
        let folder = tempfile::tempdir().unwrap();
        let (kernel_path, initramfs_path) = (folder.path().join("kernel"), folder.path().join("initramfs"));
        fs::write(&kernel_path, kernel).unwrap();
        fs::write(&initramfs_path, initramfs).unwrap();
        let memory = memory::guest(vec![memory::anonymous(BASE).unwrap()]).unwrap();
        let boot = Boot {
            kernel: Image::open("kernel", &kernel_path).unwrap(),
            initramfs: Image::open("initramfs", &initramfs_path).unwrap(),
            command_line: &crate::x86_64::command_line::build(false, "").unwrap(),
        };
        let loaded = load(&memory, boot).map_err(|error| format!("{:#}", anyhow::Error::from(error)));
        (memory, loaded)
    }

    fn check_refused(kernel: &[u8], initramfs: &[u8], expected: &str) {
        let sentence = boot(kernel, initramfs).1.unwrap_err();
        assert!(sentence.contains(expected), "{sentence}");
    }

    #[test]
    fn kernel_initramfs_and_start_info_are_where_they_are_said_to_be() {
        let (memory, entry) = boot(&image(100, true), b"initramfs");
        assert_eq!(entry, Ok(Entry(ENTRY.into())));
        assert_eq!(memory.read_obj::<u8>(GuestAddress(LOAD_ADDRESS + 99)).unwrap(), 0x90);
        let info: hvm_start_info = memory.read_obj(GuestAddress(START_INFO)).unwrap();
        assert_eq!((info.magic, info.nr_modules, info.memmap_entries), (0x336e_c578, 1, 2));
        let module: hvm_modlist_entry = memory.read_obj(GuestAddress(info.modlist_paddr)).unwrap();
        let mut initramfs = [0; 9];
        memory.read_slice(&mut initramfs, GuestAddress(module.paddr)).unwrap();
        assert_eq!((module.size, &initramfs), (9, b"initramfs"));
        let last: hvm_memmap_table_entry = memory.read_obj(GuestAddress(info.memmap_paddr + 24)).unwrap();
        assert_eq!((last.addr, last.size), (HIGH_MEMORY, BASE.bytes - HIGH_MEMORY));
        let command_line = memory.read_obj::<[u8; 5]>(GuestAddress(info.cmdline_paddr)).unwrap();
        assert_eq!(&command_line, b"quiet");
    }

    #[test]
    fn what_is_no_kernel_is_called_so() {
        check_refused(b"#!/bin/sh", b"", "is not an ELF image");
        check_refused(b"", b"", "is not an ELF image");
        check_refused(&image(100, false), b"", "has no PVH entry");
    }

    #[test]
    fn a_kernel_that_was_cut_short_is_damaged() {
        let whole = image(5000, true);
        check_refused(&whole[..4000], b"", "cannot load the kernel");
    }

    #[test]
    fn what_does_not_fit_says_how_much_it_takes() {
        let expected = "kernel and initramfs take 66 MiB, more than the 64 MiB that a guest boots with";
        check_refused(&image(64 * MIB, true), b"", expected);
        check_refused(
            &image(MIB, true),
            &vec![0; 63 << 20],
            "kernel and initramfs take 67 MiB",
        );
    }
}
