//! System calls made by another process against its will, as whoever has taken it over would make them.

use std::fs::{self, File};
use std::io::{Error, Result};
use std::os::unix::fs::FileExt;

use libc::{c_long, c_void, pid_t, user_regs_struct};

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The system's answer: a negative one is an error.
    Answered(i64),
    /// The process was ended by this signal.
    Ended(i32),
}

/// The option that lets a tracer's calls pass without a look at them (linux/ptrace.h); for root, with `CONFIG_CHECKPOINT_RESTORE`.
const SUSPEND_SECCOMP: usize = 1 << 21;

/// The option that stops what a thread makes with `clone`, from its first instruction on.
const TRACE_CLONE: usize = 1 << 3;

/// The instruction by which programs call the system.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// Below what a thread's stack holds, and beyond what functions use without saying so.
const BELOW_STACK: u64 = 4096;

/// A thread that is stopped. It runs on when this value goes, if it still lives; a copy ends.
pub struct Thread {
    number: pid_t,
    memory: File,
    registers: user_regs_struct,
    is_alive: bool,
    is_copy: bool,
}

impl Thread {
    /// Stops the thread `number`; its calls are looked at as always, or not, where they are `unchecked`.
    ///
    /// # Errors
    /// Where it is none that can be stopped.
    pub fn stop(number: i32, unchecked: bool) -> Result<Self> {
        let options = if unchecked { SUSPEND_SECCOMP | TRACE_CLONE } else { 0 };
        trace(libc::PTRACE_SEIZE, number, 0, options)?;
        trace(libc::PTRACE_INTERRUPT, number, 0, 0)?;
        Self::stopped(number)
    }

    /// The thread `number`, which this process traces, once it has stopped.
    fn stopped(number: pid_t) -> Result<Self> {
        let mut this = Self {
            number,
            memory: File::options()
                .read(true)
                .write(true)
                .open(format!("/proc/{number}/mem"))?,
            registers: no_registers(),
            is_alive: true,
            is_copy: false,
        };
        this.wait()?;
        this.registers = this.read_registers()?;
        Ok(this)
    }

    /// Copies the process as `fork` does, with this thread alone, and so with all that its jail is made of. The copy's calls are looked at.
    ///
    /// # Errors
    /// Where it cannot be copied, as one whose own calls are looked at cannot.
    pub fn copy(&mut self) -> Result<Self> {
        // Nobody is told of the copy's end.
        self.step(libc::SYS_clone, [0; 6])?;
        let mut number: libc::c_ulong = 0;
        trace(libc::PTRACE_GETEVENTMSG, self.number, 0, (&raw mut number) as usize)?;
        trace(libc::PTRACE_SINGLESTEP, self.number, 0, 0)?;
        self.wait()?;
        let number = pid_t::try_from(number).map_err(Error::other)?;
        if number == 0 {
            return Err(Error::other("the thread has made no copy"));
        }
        let mut copy = Self::stopped(number)?;
        copy.is_copy = true;
        // It has the original's options.
        trace(libc::PTRACE_SETOPTIONS, number, 0, 0)?;
        // Not in the midst of the original's call.
        copy.registers = self.registers;
        Ok(copy)
    }

    /// Puts `bytes` where the thread can read and write them; their address.
    ///
    /// # Errors
    /// The system's.
    pub fn put(&self, bytes: &[u8]) -> Result<u64> {
        let place = (self.registers.rsp - BELOW_STACK) & !15;
        self.memory.write_all_at(bytes, place)?;
        Ok(place)
    }

    /// Has the thread make the call `number`.
    ///
    /// # Errors
    /// Where it cannot be made to.
    pub fn call(&mut self, number: c_long, arguments: [u64; 6]) -> Result<Outcome> {
        if let Some(signal) = self.step(number, arguments)? {
            self.is_alive = false;
            return Ok(Outcome::Ended(signal));
        }
        Ok(Outcome::Answered(self.read_registers()?.rax.cast_signed()))
    }

    /// Has the thread run the one instruction that makes a call; the signal that has ended it, where one has.
    fn step(&mut self, number: c_long, arguments: [u64; 6]) -> Result<Option<i32>> {
        let mut registers = self.registers;
        registers.rip = self.instruction()?;
        registers.rax = number.cast_unsigned();
        // It is in no call that would be made again.
        registers.orig_rax = u64::MAX;
        [
            registers.rdi,
            registers.rsi,
            registers.rdx,
            registers.r10,
            registers.r8,
            registers.r9,
        ] = arguments;
        self.write_registers(&registers)?;
        trace(libc::PTRACE_SINGLESTEP, self.number, 0, 0)?;
        self.wait()
    }

    /// Where in the program's code the instruction is that calls the system.
    fn instruction(&self) -> Result<u64> {
        for line in fs::read_to_string(format!("/proc/{}/maps", self.number))?.lines() {
            let mut words = line.split_whitespace();
            let (Some(range), Some(rights)) = (words.next(), words.next()) else {
                continue;
            };
            let bounds = range.split_once('-').and_then(|(start, end)| {
                Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
            });
            let Some((start, end)) = bounds.filter(|_| rights.contains('x') && !line.ends_with("[vsyscall]")) else {
                continue;
            };
            let mut code = vec![0; usize::try_from(end - start).map_err(Error::other)?];
            self.memory.read_exact_at(&mut code, start)?;
            if let Some(offset) = code.windows(SYSCALL.len()).position(|bytes| bytes == SYSCALL) {
                return Ok(start + offset as u64);
            }
        }
        Err(Error::other("the program makes no system call"))
    }

    /// Waits until it stops; the signal that has ended it, where one has.
    fn wait(&self) -> Result<Option<i32>> {
        let mut status = 0;
        // SAFETY: the call writes one integer, which outlives it.
        let waited = unsafe { libc::waitpid(self.number, &raw mut status, libc::__WALL) };
        if waited < 0 {
            return Err(Error::last_os_error());
        }
        if libc::WIFSTOPPED(status) {
            return Ok(None);
        }
        Ok(Some(if libc::WIFSIGNALED(status) {
            libc::WTERMSIG(status)
        } else {
            0
        }))
    }

    fn read_registers(&self) -> Result<user_regs_struct> {
        let mut registers = no_registers();
        trace(libc::PTRACE_GETREGS, self.number, 0, (&raw mut registers) as usize)?;
        Ok(registers)
    }

    fn write_registers(&self, registers: &user_regs_struct) -> Result<()> {
        trace(
            libc::PTRACE_SETREGS,
            self.number,
            0,
            std::ptr::from_ref(registers) as usize,
        )
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if self.is_alive && self.is_copy {
            // SAFETY: the call takes two numbers.
            let _ = unsafe { libc::kill(self.number, libc::SIGKILL) };
            let _ = self.wait();
        } else if self.is_alive {
            let registers = self.registers;
            // A thread that is gone by now needs neither.
            let _ = self.write_registers(&registers);
            let _ = trace(libc::PTRACE_DETACH, self.number, 0, 0);
        }
    }
}

/// Registers, to be read into.
fn no_registers() -> user_regs_struct {
    // SAFETY: it has integers alone.
    unsafe { std::mem::zeroed() }
}

fn trace(request: libc::c_uint, thread: pid_t, address: usize, data: usize) -> Result<()> {
    // SAFETY: requests that write do so to what `data` points to, which its caller holds, of the type that the request has.
    let answer = unsafe { libc::ptrace(request, thread, address as *mut c_void, data as *mut c_void) };
    if answer < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(())
    }
}
