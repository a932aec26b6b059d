//! The lines of the control port: what the init is told, and what it tells while the machine boots.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Token;

/// The longest line of the control port in bytes.
pub const LINE_LEN_MAX: usize = 64 * 1024;

/// What the init is told before it does anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootConfig {
    /// The secret that opens the relay.
    pub token: Token,
    /// Directory of the kernel's modules on the host, the one that holds `lib/modules`.
    pub modules: PathBuf,
    /// Directories of the host that appear at the same path in the machine, writable; tag `share0`, `share1`, …
    pub shares: Vec<PathBuf>,
    /// Whether there is a data disk to be mounted at `/var/lib/mote`.
    pub data_disk: bool,
}

/// What the init tells, one line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum BootReport {
    /// A step of the boot is done.
    Stage {
        /// The step.
        name: String,
        /// Milliseconds since the kernel started.
        uptime_ms: u64,
    },
    /// The relay takes connections. The last report of a boot that succeeds.
    Ready {
        /// Milliseconds since the kernel started.
        uptime_ms: u64,
    },
    /// The boot failed, and the machine powers off.
    Failed {
        /// What failed.
        message: String,
    },
}

/// A line that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a line of the machine's control port is malformed")]
pub struct BootError(#[source] serde_json::Error);

/// The line for a message, its newline included.
pub fn encode_line<T: Serialize>(message: &T) -> Result<Vec<u8>, BootError> {
    let mut line = serde_json::to_vec(message).map_err(BootError)?;
    line.push(b'\n');
    Ok(line)
}

/// Reads the init's configuration from its line.
pub fn parse_config(line: &[u8]) -> Result<BootConfig, BootError> {
    serde_json::from_slice(line).map_err(BootError)
}

/// Reads a report from its line.
pub fn parse_report(line: &[u8]) -> Result<BootReport, BootError> {
    serde_json::from_slice(line).map_err(BootError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_config_reads_back_as_written() {
        let config = BootConfig {
            token: [7; 32],
            modules: "/cache/modules".into(),
            shares: vec!["/work".into()],
            data_disk: true,
        };
        assert_eq!(parse_config(&encode_line(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn a_report_is_one_line() {
        let report = BootReport::Failed {
            message: "two\nlines".into(),
        };
        let line = encode_line(&report).unwrap();
        assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        assert_eq!(parse_report(&line).unwrap(), report);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = parse_config(&bytes);
            let _ = parse_report(&bytes);
        }
    }
}
