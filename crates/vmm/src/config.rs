//! Reads the configuration, and refuses what no microVM can be.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use devices::slots::SLOT_COUNT;
use protocol::vmm::{Config, Device};

use crate::x86_64::layout::VCPUS_MAX;

/// The longest configuration, in bytes.
pub const CONFIG_LEN_MAX: u64 = 1 << 20;

/// The most memory, in MiB: a terabyte, which every host's processor can address.
pub const MEMORY_MIB_MAX: u32 = 1 << 20;

/// The context ids that a guest can have: below are the host's, the last one means anybody (virtio 1.2, 5.10.4).
const GUEST_CIDS: Range<u32> = 3..u32::MAX;

/// Why a configuration is unusable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not there, or may not be read.
    #[error("cannot read the config {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It is longer than any sensible one.
    #[error("the config is longer than {CONFIG_LEN_MAX} bytes")]
    TooLong,
    /// It is no JSON, has an unknown member, or lacks one.
    #[error("the config is not valid")]
    Malformed(#[source] serde_json::Error),
    /// The number of vCPUs is none that a guest can have.
    #[error("the config asks for {vcpus} vCPUs; 1 to {VCPUS_MAX} are possible")]
    Vcpus {
        /// What is asked for.
        vcpus: u8,
    },
    /// The size of memory is none that a guest can have.
    #[error("the config asks for {memory_mib} MiB of memory; 1 to {MEMORY_MIB_MAX} are possible")]
    Memory {
        /// What is asked for.
        memory_mib: u32,
    },
    /// The guest's address is a reserved one.
    #[error("the config gives the guest the context id {guest_cid}; 3 to 4294967294 are possible")]
    GuestCid {
        /// What is asked for.
        guest_cid: u32,
    },
    /// There are more devices than slots.
    #[error("the config has {devices} devices; {SLOT_COUNT} are possible")]
    Slots {
        /// What is asked for.
        devices: usize,
    },
}

/// Reads the configuration at `path`, or from standard input where that is `-`.
///
/// # Errors
/// Where it cannot be read or is unusable.
pub fn read(path: &Path) -> Result<Config, ConfigError> {
    let failed = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut bytes = Vec::new();
    source
        .take(CONFIG_LEN_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    parse(&bytes)
}

/// Reads the configuration in `bytes`.
///
/// # Errors
/// Where it is malformed, or asks for what no guest can have.
pub fn parse(bytes: &[u8]) -> Result<Config, ConfigError> {
    if u64::try_from(bytes.len()).is_ok_and(|len| len > CONFIG_LEN_MAX) {
        return Err(ConfigError::TooLong);
    }
    let config: Config = serde_json::from_slice(bytes).map_err(ConfigError::Malformed)?;
    if !(1..=VCPUS_MAX).contains(&config.vcpus) {
        return Err(ConfigError::Vcpus { vcpus: config.vcpus });
    }
    if !(1..=MEMORY_MIB_MAX).contains(&config.memory_mib) {
        return Err(ConfigError::Memory {
            memory_mib: config.memory_mib,
        });
    }
    if config.slots.len() > SLOT_COUNT {
        return Err(ConfigError::Slots {
            devices: config.slots.len(),
        });
    }
    for device in &config.slots {
        match device {
            Device::Vsock { guest_cid, .. } if !GUEST_CIDS.contains(guest_cid) => {
                return Err(ConfigError::GuestCid { guest_cid: *guest_cid });
            }
            _ => {}
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A valid configuration in which `from` is replaced by `to`; gives the error's whole sentence.
    fn check(from: &str, to: &str) -> Result<Config, String> {
        let valid =
            r#"{"kernel":"/k","initramfs":"/i","vcpus":1,"memory_mib":64,"slots":["rng"],"control":{"path":"/c"}}"#;
        assert!(valid.contains(from));
        parse(valid.replace(from, to).as_bytes()).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    #[test]
    fn a_valid_config_is_taken() {
        assert_eq!(check("64", "32").unwrap().memory_mib, 32);
    }

    #[test]
    fn an_unknown_member_is_named() {
        let error = check("\"vcpus\"", "\"turbo\":true,\"vcpus\"").unwrap_err();
        assert!(
            error.starts_with("the config is not valid: unknown field `turbo`"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_member_is_named() {
        assert!(
            check("\"initramfs\":\"/i\",", "")
                .unwrap_err()
                .contains("missing field `initramfs`")
        );
    }

    #[test]
    fn impossible_sizes_are_refused_with_what_is_possible() {
        assert!(
            check("\"vcpus\":1", "\"vcpus\":0")
                .unwrap_err()
                .contains("1 to 32 are possible")
        );
        assert!(check("\"vcpus\":1", "\"vcpus\":33").unwrap_err().contains("33 vCPUs"));
        assert!(check("64", "0").unwrap_err().contains("0 MiB"));
        assert!(check("64", "1048577").unwrap_err().contains("1048577 MiB"));
        let host = "{\"vsock\":{\"guest_cid\":2,\"socket\":\"/v\"}}";
        assert!(check("\"rng\"", host).unwrap_err().contains("context id 2"));
        let seventeen = vec!["\"rng\""; 17].join(",");
        assert!(check("\"rng\"", &seventeen).unwrap_err().contains("17 devices"));
    }

    #[test]
    fn an_endless_config_is_refused() {
        let error = parse(&vec![b' '; usize::try_from(CONFIG_LEN_MAX).unwrap() + 1]).unwrap_err();
        assert!(matches!(error, ConfigError::TooLong));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse(&bytes);
        }
    }
}
