//! Plays the guest agent of a clone: binds what was plugged late to its drivers, uses it, and tells the host what came of it.
//!
//! A fact is a line `SLOT NAME VALUE`. They go over the vsock device that was plugged late, so that hearing of anything is the test of that one.
//! Where memory is freed, the host is waited for: it looks how much the microVM takes before and after.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use protocol::guest::{CONTROL_PORT, DOORBELL_BOOTED, DOORBELL_SHUTDOWN};
use protocol::vmm::{SLOTS, directory_tag, standing};

use crate::netlink;
use crate::system::{self, Doorbell};

/// The argument that asks for this.
pub const LATE_DEVICES: &str = "late-devices";

/// What is written to disks that can be written to, and where: behind all that is read.
const WRITTEN: (&[u8; 16], u64) = (b"from the guest!\n", 16 << 10);

/// How much memory is filled: more than the guest booted with.
const FILLED_MIB: usize = 96;

/// Where the host listens behind each interface.
const TALK_PORT: u16 = 7777;

/// Where the second part of a disk or window of two parts begins.
const SECOND_PART: u64 = 4096;

/// Where a directory of the host is mounted.
const SHOWN: &str = "/shown";
const SHOWN_TEXT: &CStr = c"/shown";

/// A device and its slot.
struct Plugged {
    slot: usize,
    /// Its directory in sysfs.
    directory: PathBuf,
}

/// Stops at the doorbell, where the template is taken; in a clone, does the rest.
pub fn run() -> io::Result<()> {
    for (kind, at) in [(c"proc", c"/proc"), (c"sysfs", c"/sys"), (c"devtmpfs", c"/dev")] {
        system::mount(kind, at, kind, c"")?;
    }
    let doorbell = Doorbell::open()?;
    doorbell.ring(DOORBELL_BOOTED);
    let bitmap = doorbell.plugged_slots();
    let memory_before = memory_mib()?;
    // The kernel takes one vsock device and one balloon.
    for slot in [standing::VSOCK, standing::BALLOON] {
        let device = virtio_device(&slot_directory(slot.into()))?;
        let name = device.file_name().ok_or_else(|| io::Error::other("no name"))?;
        fs::write(device.join("driver/unbind"), name.as_encoded_bytes())?;
    }
    let late = (usize::from(standing::FIRST_FREE)..SLOTS).filter(|slot| bitmap >> slot & 1 == 1);
    let mut bound: Vec<Plugged> = late.map(bind).collect::<io::Result<_>>()?;
    // The one standing device that is told to its driver only now.
    let network = usize::from(standing::NETWORK);
    if bitmap >> network & 1 == 1 {
        let directory = virtio_device(&slot_directory(network))?;
        bound.insert(
            0,
            Plugged {
                slot: network,
                directory,
            },
        );
    }
    let mut host = File::from(system::connect_to_host(CONTROL_PORT)?);
    for device in &bound {
        if let Err(error) = use_device(device, memory_before, &mut host) {
            writeln!(host, "{} failed {error}", device.slot)?;
        }
    }
    // Until the host has seen all.
    wait_for_host(&mut host)?;
    doorbell.ring(DOORBELL_SHUTDOWN);
    system::reset_machine()
}

fn slot_directory(slot: usize) -> PathBuf {
    Path::new("/sys/bus/platform/devices").join(format!("virtio-mmio.{slot}"))
}

/// Gives the device in `slot` to its driver.
fn bind(slot: usize) -> io::Result<Plugged> {
    let name = format!("virtio-mmio.{slot}");
    fs::write("/sys/bus/platform/drivers/virtio-mmio/bind", name)?;
    let directory = virtio_device(&slot_directory(slot))?;
    Ok(Plugged { slot, directory })
}

/// The first directory in `directory` whose name begins with `prefix`.
fn child(directory: &Path, prefix: &str) -> io::Result<PathBuf> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Through links, which block devices are.
        if entry.file_name().to_string_lossy().starts_with(prefix) && entry.path().is_dir() {
            return Ok(entry.path());
        }
    }
    Err(io::Error::other(format!("no {prefix} in {}", directory.display())))
}

fn virtio_device(slot: &Path) -> io::Result<PathBuf> {
    child(slot, "virtio")
}

fn use_device(device: &Plugged, memory_before: usize, host: &mut File) -> io::Result<()> {
    let mut tell = |name: &str, value: &str| writeln!(host, "{} {name} {value}", device.slot);
    let driver = fs::read_link(device.directory.join("driver"))?;
    let driver = driver.file_name().unwrap_or_default().to_string_lossy().into_owned();
    tell("driver", &driver)?;
    match driver.as_str() {
        "virtio_rng" => {
            let mut bytes = [0; 16];
            File::open("/dev/hwrng")?.read_exact(&mut bytes)?;
            tell("bytes", &bytes.map(|byte| format!("{byte:02x}")).concat())
        }
        "virtio_blk" => {
            let disk = child(&device.directory.join("block"), "vd")?;
            tell("sectors", fs::read_to_string(disk.join("size"))?.trim())?;
            let node = Path::new("/dev").join(disk.file_name().unwrap_or_default());
            tell_contents(&node, &mut tell)?;
            if fs::read_to_string(disk.join("ro"))?.trim() == "0" {
                tell("written", &write_and_read(&node)?)?;
            }
            Ok(())
        }
        "virtio_net" => {
            let interface = child(&device.directory.join("net"), "eth")?;
            let address = fs::read_to_string(interface.join("address"))?;
            tell("address", address.trim())?;
            let index = fs::read_to_string(interface.join("ifindex"))?;
            let index = index.trim().parse().map_err(io::Error::other)?;
            tell("received", &talk(device.slot, index)?.to_string())
        }
        "virtio_pmem" => {
            let bus = child(&device.directory, "ndbus")?;
            // Probed in the background: this file is read when that is done.
            fs::read(bus.join("wait_probe"))?;
            let namespace = child(&child(&bus, "region")?, "namespace")?;
            let disk = child(&namespace.join("block"), "pmem")?;
            let node = Path::new("/dev").join(disk.file_name().unwrap_or_default());
            tell_contents(&node, &mut tell)
        }
        "virtiofs" => {
            let slot = u8::try_from(device.slot).map_err(io::Error::other)?;
            let tag = CString::new(directory_tag(slot))?;
            fs::create_dir_all(SHOWN)?;
            system::mount(&tag, SHOWN_TEXT, c"virtiofs", c"")?;
            let file = Path::new(SHOWN).join("file");
            tell("read", fs::read_to_string(&file)?.trim())?;
            fs::write(&file, WRITTEN.0)?;
            tell("written", fs::read_to_string(&file)?.trim())
        }
        "virtio_mem" => {
            tell("grown", &grown_mib(memory_before)?.to_string())?;
            let filled = black_box(vec![1_u8; FILLED_MIB << 20]);
            tell("filled", &FILLED_MIB.to_string())?;
            wait_for_host(host)?;
            drop(filled);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Sends the host back what it sends over the interface in `slot`, with this index; how much that was. The addresses are made of the slot's number.
fn talk(slot: usize, index: u32) -> io::Result<usize> {
    let slot = u8::try_from(slot).map_err(io::Error::other)?;
    let place = [10, 77, slot];
    netlink::set_interface_up(index, [2, 0, 10, 77, slot, 2], [place[0], place[1], place[2], 2])?;
    let mut host = TcpStream::connect(SocketAddr::from(([place[0], place[1], place[2], 1], TALK_PORT)))?;
    let mut all = Vec::new();
    host.read_to_end(&mut all)?;
    host.write_all(&all)?;
    host.shutdown(Shutdown::Write)?;
    Ok(all.len())
}

/// Tells how both parts of a disk or window begin.
fn tell_contents(node: &Path, tell: &mut impl FnMut(&str, &str) -> io::Result<()>) -> io::Result<()> {
    let file = File::open(node)?;
    for (name, at) in [("first", 0), ("second", SECOND_PART)] {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at)?;
        tell(name, &String::from_utf8_lossy(&bytes))?;
    }
    Ok(())
}

/// What is read back from the device itself after something was written.
fn write_and_read(node: &Path) -> io::Result<String> {
    let (bytes, at) = WRITTEN;
    let file = File::options().write(true).open(node)?;
    file.write_all_at(bytes, at)?;
    file.sync_all()?;
    drop(file);
    fs::write("/proc/sys/vm/drop_caches", "1")?;
    let mut read = [0; WRITTEN.0.len()];
    File::open(node)?.read_exact_at(&mut read, at)?;
    Ok(String::from_utf8_lossy(&read).trim().to_owned())
}

fn memory_mib() -> io::Result<usize> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let total = text.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok());
    Ok(total.ok_or_else(|| io::Error::other("no MemTotal"))? >> 10)
}

/// How much memory has come; the kernel plugs it in the background.
fn grown_mib(before: usize) -> io::Result<usize> {
    const ATTEMPTS: usize = 3000;
    let mut grown = 0;
    for _ in 0..ATTEMPTS {
        grown = memory_mib()?.saturating_sub(before);
        if grown >= FILLED_MIB + FILLED_MIB / 8 {
            break;
        }
        sleep(Duration::from_millis(10));
    }
    Ok(grown)
}

fn wait_for_host(host: &mut File) -> io::Result<()> {
    host.read_exact(&mut [0])
}
