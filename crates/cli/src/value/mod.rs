//! Values that people write. Here: sizes.

mod environment;
mod filter;
mod format;
mod limit;
mod mount;
mod network;
mod rate;
mod signal;
mod time;

use std::fmt;
use std::str::FromStr;

pub use api::calendar::rfc3339;
pub use environment::{environment, labels};
pub use filter::{Filter, matches};
pub use format::Format;
pub use limit::{PidsLimit, parse_pids_limit, parse_ulimit};
pub use mount::{Volume, parse_tmpfs, parse_volume};
pub use network::{host_end, parse_host_entry, parse_network, parse_port, port_text};
pub use rate::Rate;
pub use signal::Signal;
pub use time::{Moment, Seconds};

/// CPU, in thousandths of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuMilli(pub u32);

/// Memory, in MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryMib(pub u32);

/// Why a value is not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a number of vCPUs.
    #[error("write a number of vCPUs with at most three decimals, such as 0.25 or 2")]
    Vcpu,
    /// Less than one thousandth.
    #[error("the smallest share of a vCPU is 0.001")]
    VcpuZero,
    /// Not an amount of memory.
    #[error("write whole MiB, or a whole number with the unit k, m or g, such as 64, 64m or 1g")]
    Memory,
    /// Less than one MiB, or not a whole number of them.
    #[error("memory is given in whole MiB")]
    MemoryFraction,
}

impl FromStr for VcpuMilli {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() == text.matches('.').count() || decimals.len() > 3 || !digits(whole) || !digits(decimals) {
            return Err(ValueError::Vcpu);
        }
        let milli = format!("{whole}{decimals:0<3}").parse().map_err(|_| ValueError::Vcpu)?;
        if milli == 0 {
            Err(ValueError::VcpuZero)
        } else {
            Ok(Self(milli))
        }
    }
}

impl FromStr for MemoryMib {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let lower = text.to_ascii_lowercase();
        let number = lower.trim_end_matches("ib").trim_end_matches('b');
        let has_suffix = number.len() < lower.len();
        let (number, unit_kib) = match scaled(number) {
            Some((number, Some(unit_kib))) => (number, unit_kib),
            Some((number, None)) if !has_suffix => (number, 1 << 10),
            _ => return Err(ValueError::Memory),
        };
        let kib = number.checked_mul(unit_kib).ok_or(ValueError::Memory)?;
        if kib == 0 || !kib.is_multiple_of(1024) {
            return Err(ValueError::MemoryFraction);
        }
        u32::try_from(kib / 1024).map(Self).map_err(|_| ValueError::Memory)
    }
}

/// A whole number, and the unit k, m or g behind it in KiB, where there is one; nothing for anything else.
fn scaled(text: &str) -> Option<(u64, Option<u64>)> {
    let (number, unit_kib) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], Some(1)),
        b'm' => (&text[..text.len() - 1], Some(1 << 10)),
        b'g' => (&text[..text.len() - 1], Some(1 << 20)),
        _ => (text, None),
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    Some((number.parse().ok().filter(|_| is_number)?, unit_kib))
}

impl fmt::Display for VcpuMilli {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        formatter.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_vcpu(text: &str, expected: Result<u32, ValueError>) {
        assert_eq!(text.parse::<VcpuMilli>().map(|vcpu| vcpu.0), expected, "{text}");
    }

    fn check_memory(text: &str, expected: Result<u32, ValueError>) {
        assert_eq!(text.parse::<MemoryMib>().map(|memory| memory.0), expected, "{text}");
    }

    #[test]
    fn a_vcpu_is_exact_to_a_thousandth() {
        check_vcpu("0.25", Ok(250));
        check_vcpu(".5", Ok(500));
        check_vcpu("2", Ok(2000));
        check_vcpu("1.", Ok(1000));
        check_vcpu("0.001", Ok(1));
    }

    #[test]
    fn a_vcpu_that_is_no_such_number_is_refused() {
        for text in ["", ".", "-1", "0.0001", "1e3", "a", "1.2.3", "99999999999"] {
            check_vcpu(text, Err(ValueError::Vcpu));
        }
        check_vcpu("0.000", Err(ValueError::VcpuZero));
    }

    #[test]
    fn memory_takes_units_as_docker_does() {
        check_memory("64", Ok(64));
        check_memory("64m", Ok(64));
        check_memory("64MiB", Ok(64));
        check_memory("1g", Ok(1024));
        check_memory("2048k", Ok(2));
        check_memory("1500k", Err(ValueError::MemoryFraction));
        check_memory("0", Err(ValueError::MemoryFraction));
        for text in ["", "m", "64b", "64x", "-1", "1.5g", "99999999999g"] {
            check_memory(text, Err(ValueError::Memory));
        }
    }

    #[test]
    fn a_vcpu_is_shown_as_it_is_written() {
        for text in ["0.25", "2", "0.001", "10"] {
            assert_eq!(text.parse::<VcpuMilli>().unwrap().to_string(), text);
        }
    }
}
