//! The kernel's command line.

use linux_loader::cmdline::{self, Cmdline};
use vm_memory::GuestAddress;

use devices::slots::{SlotIndex, WINDOW_BYTES};

use crate::x86_64::layout::{COMMAND_LINE_BYTES_MAX, slot_line, slot_window};

/// What every guest gets:
/// - a fatal error ends the microVM at once, by a triple fault, the one restart that works without firmware;
/// - the TSC is what the host says it is: no calibration, no watchdog;
/// - no asynchronous page faults, which cost a clone more than they gain;
/// - locks stay as compiled: patching them changes pages that clones would share;
/// - grace periods are short: start-up waits for many of them;
/// - no bounce buffers, which would take 64 MiB of a large guest: devices reach all memory;
/// - no network interface but those that are asked for;
/// - one vCPU to begin with, and memory that is plugged is used at once, for everything.
const ALWAYS: &str = "panic=-1 reboot=t tsc=reliable no-kvmapf noreplace-smp rcupdate.rcu_expedited=1 swiotlb=noforce \
                      dummy.numdummies=0 maxcpus=1 memhp_default_state=online_kernel";

/// Where nobody reads the kernel's log.
const WITHOUT_SERIAL: &str = "quiet loglevel=1 8250.nr_uarts=0";

/// Where somebody does.
const WITH_SERIAL: &str = "console=ttyS0 loglevel=7 8250.nr_uarts=1";

/// Why there is no command line.
#[derive(Debug, thiserror::Error)]
pub enum CommandLineError {
    /// The caller's addition contains what no kernel can read.
    #[error("the config's command_line has a character that is not printable ASCII")]
    NotPrintable,
    /// The kernel would cut it off.
    #[error("the config's command_line makes the kernel's longer than {COMMAND_LINE_BYTES_MAX} bytes")]
    TooLong,
    /// The builder found another fault.
    #[error("cannot build the kernel's command line")]
    Build(#[source] cmdline::Error),
}

impl From<cmdline::Error> for CommandLineError {
    fn from(error: cmdline::Error) -> Self {
        match error {
            cmdline::Error::InvalidAscii => Self::NotPrintable,
            cmdline::Error::TooLarge => Self::TooLong,
            other => Self::Build(other),
        }
    }
}

/// The command line of a guest whose kernel log goes to a serial port or nowhere; `extra` comes last, and so wins.
///
/// # Errors
/// Where `extra` is too long, or not printable.
pub fn build(serial: bool, extra: &str) -> Result<Cmdline, CommandLineError> {
    let mut line = Cmdline::new(COMMAND_LINE_BYTES_MAX)?;
    line.insert_str(if serial { WITH_SERIAL } else { WITHOUT_SERIAL })?;
    line.insert_str(ALWAYS)?;
    for (slot, id) in SlotIndex::all().zip(0..) {
        line.add_virtio_mmio_device(WINDOW_BYTES, GuestAddress(slot_window(slot)), slot_line(slot), Some(id))?;
    }
    if !extra.trim().is_empty() {
        line.insert_str(extra)?;
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(serial: bool, extra: &str) -> String {
        build(serial, extra)
            .unwrap()
            .as_cstring()
            .unwrap()
            .into_string()
            .unwrap()
    }

    #[test]
    fn every_slot_is_named_with_window_line_and_number() {
        let line = text(false, "");
        assert_eq!(line.matches("virtio_mmio.device=").count(), 16);
        assert!(line.contains(" virtio_mmio.device=4K@0xd0000000:5:0 "), "{line}");
        assert!(line.ends_with(" virtio_mmio.device=4K@0xd000f000:20:15"), "{line}");
    }

    #[test]
    fn the_callers_addition_comes_last() {
        assert!(text(false, "init=/x -- --flag").ends_with(" init=/x -- --flag"));
    }

    #[test]
    fn a_serial_port_makes_the_kernel_talk() {
        assert!(text(true, "").contains("console=ttyS0"));
        assert!(!text(true, "").contains("quiet"));
        assert!(text(false, "").contains("8250.nr_uarts=0"));
    }

    #[test]
    fn what_the_kernel_would_misread_is_refused() {
        assert!(matches!(build(false, "a\nb"), Err(CommandLineError::NotPrintable)));
        assert!(matches!(
            build(false, &"x".repeat(2000)),
            Err(CommandLineError::TooLong)
        ));
    }
}
