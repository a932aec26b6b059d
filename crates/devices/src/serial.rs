//! A 16550 serial port for looking at a guest that does not talk any other way.

use std::io::{self, Write};

use vm_superio::Trigger;
use vm_superio::serial::NoEvents;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// How many ports it takes, from its base.
pub const PORT_COUNT: u16 = 8;

/// A serial port that writes what the guest says to an output.
pub struct Serial {
    port: vm_superio::Serial<Line, NoEvents, Box<dyn Write + Send>>,
}

impl Serial {
    /// A port that says to `output` what the guest says. `output` is written by a vCPU thread, one byte at a time: one
    /// that waits stops the vCPU.
    ///
    /// # Errors
    ///
    /// When the system has no event descriptor left.
    pub fn new(output: Box<dyn Write + Send>) -> io::Result<Self> {
        let line = Line(EventFd::new(EFD_NONBLOCK)?);
        Ok(Self {
            port: vm_superio::Serial::new(line, output),
        })
    }

    /// The descriptor that is written when the port raises its interrupt.
    #[must_use]
    pub fn interrupt_event(&self) -> &EventFd {
        &self.port.interrupt_evt().0
    }

    /// A guest's read of the register `offset`.
    pub fn read(&mut self, offset: u8) -> u8 {
        self.port.read(offset)
    }

    /// A guest's write to the register `offset`.
    pub fn write(&mut self, offset: u8, value: u8) {
        // What the output refuses is lost: a serial port has no way to say so, and the guest is not to stop for it.
        let _ = self.port.write(offset, value);
    }
}

/// The interrupt line.
struct Line(EventFd);

impl Trigger for Line {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Sender};

    use super::*;

    struct Output(Sender<Vec<u8>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_the_guest_says_is_written() {
        let (sender, said) = mpsc::channel();
        let mut serial = Serial::new(Box::new(Output(sender))).unwrap();
        for byte in b"hi\n" {
            serial.write(0, *byte);
        }
        assert_eq!(said.try_iter().flatten().collect::<Vec<_>>(), b"hi\n");
    }

    #[test]
    fn an_output_that_is_gone_stops_nobody() {
        let (sender, said) = mpsc::channel();
        let mut serial = Serial::new(Box::new(Output(sender))).unwrap();
        drop(said);
        serial.write(0, b'x');
        assert_eq!(serial.read(5) & 0x20, 0x20, "the transmitter stays ready");
    }

    #[test]
    fn an_enabled_transmitter_interrupts() {
        let mut serial = Serial::new(Box::new(io::sink())).unwrap();
        serial.write(1, 2);
        serial.write(0, b'x');
        assert!(serial.interrupt_event().read().unwrap() > 0);
    }

    #[test]
    fn no_register_is_too_far() {
        let mut serial = Serial::new(Box::new(io::sink())).unwrap();
        for offset in 0..=u8::MAX {
            serial.write(offset, 0xff);
            serial.read(offset);
        }
    }
}
