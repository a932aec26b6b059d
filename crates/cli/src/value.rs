//! Values that people write: sizes and environments.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

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
        let (number, unit_kib) = match number.as_bytes().last() {
            Some(b'k') => (&number[..number.len() - 1], 1),
            Some(b'm') => (&number[..number.len() - 1], 1 << 10),
            Some(b'g') => (&number[..number.len() - 1], 1 << 20),
            _ if number.len() == lower.len() => (number, 1 << 10),
            _ => return Err(ValueError::Memory),
        };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ValueError::Memory);
        }
        let number: u64 = number.parse().map_err(|_| ValueError::Memory)?;
        let kib = number.checked_mul(unit_kib).ok_or(ValueError::Memory)?;
        if kib == 0 || !kib.is_multiple_of(1024) {
            return Err(ValueError::MemoryFraction);
        }
        u32::try_from(kib / 1024).map(Self).map_err(|_| ValueError::Memory)
    }
}

impl fmt::Display for VcpuMilli {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        formatter.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Why an environment could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The file cannot be read.
    #[error("cannot read the environment file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A name is empty or holds white space.
    #[error("'{text}' does not name an environment variable: write NAME=VALUE or NAME")]
    Name {
        /// What was written.
        text: String,
    },
}

/// The variables of `files`, then `given`, each `NAME=VALUE`. A bare `NAME` takes its value from `inherited`, and is left out where that has none.
///
/// # Errors
/// [`EnvironmentError`]
pub fn environment(
    files: &[PathBuf],
    given: &[String],
    inherited: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, EnvironmentError> {
    let mut variables = Vec::new();
    for path in files {
        let text = read(path)?;
        let lines = text
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            variables.extend(variable(line, &inherited)?);
        }
    }
    for text in given {
        variables.extend(variable(text, &inherited)?);
    }
    Ok(variables)
}

fn read(path: &Path) -> Result<String, EnvironmentError> {
    std::fs::read_to_string(path).map_err(|source| EnvironmentError::Read {
        path: path.to_owned(),
        source,
    })
}

fn variable(text: &str, inherited: impl Fn(&str) -> Option<String>) -> Result<Option<String>, EnvironmentError> {
    let name = text.split('=').next().unwrap_or_default();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(EnvironmentError::Name { text: text.to_owned() });
    }
    if text.contains('=') {
        return Ok(Some(text.to_owned()));
    }
    Ok(inherited(name).map(|value| format!("{name}={value}")))
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

    #[test]
    fn a_bare_name_is_inherited_or_left_out() {
        let given = ["A=1", "HOME", "MISSING", "EMPTY="].map(str::to_owned);
        let inherited = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        assert_eq!(
            environment(&[], &given, inherited).unwrap(),
            ["A=1", "HOME=/root", "EMPTY="]
        );
        assert!(environment(&[], &["=x".to_owned()], inherited).is_err());
    }

    #[test]
    fn an_environment_file_has_comments_and_comes_first() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# comment\n\nA=1\n  B=2 # kept\n").unwrap();
        let variables = environment(&[file.path().to_owned()], &["A=3".to_owned()], |_| None).unwrap();
        assert_eq!(variables, ["A=1", "B=2 # kept", "A=3"]);
    }
}
