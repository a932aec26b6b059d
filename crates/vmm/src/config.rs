//! Reads the configuration, and refuses what no microVM can be.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use devices::slots::SLOT_COUNT;
use protocol::vmm::{Config, Device, GROWTH_MIB_MAX, GROWTH_STEP_MIB, GUEST_CID, Shape, VCPUS_MAX, standing};

use crate::x86_64::layout::LATE_MEMORY_BYTES_MAX;

/// What a configuration does not exceed as a rule, in bytes.
const CONFIG_LEN_USUAL: usize = 4096;

/// The longest configuration, in bytes.
pub const CONFIG_LEN_MAX: u64 = 1 << 20;

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
    /// No microVM can be what it asks for.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// Why a shape is none that a microVM can have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The number of vCPUs is none that a guest can have.
    #[error("the shape asks for {vcpus} vCPUs; 1 to {VCPUS_MAX} are possible")]
    Vcpus {
        /// What is asked for.
        vcpus: u8,
    },
    /// Memory cannot grow by so much.
    #[error(
        "the shape asks for {mib} MiB of further memory; multiples of {GROWTH_STEP_MIB} up to {mib_max} are possible"
    )]
    Memory {
        /// What is asked for.
        mib: u32,
        /// What is possible.
        mib_max: u32,
    },
    /// The guest's address is a reserved one, or not the one that a template's driver knows.
    #[error(
        "the shape gives the guest the context id {guest_cid} at slot {slot}; {GUEST_CID} is that of slot 0, others have 3 to 4294967294"
    )]
    GuestCid {
        /// What is asked for.
        guest_cid: u32,
        /// Where.
        slot: u8,
    },
    /// There is no such slot.
    #[error("the shape has a device in slot {slot}; there are slots 0 to {}", SLOT_COUNT - 1)]
    Slot {
        /// The slot.
        slot: u8,
    },
    /// A standing device is of another kind.
    #[error("the shape has another device in slot {slot} than the one that every guest has there")]
    Standing {
        /// The slot.
        slot: u8,
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
    // More than the usual one, so that it is read at once.
    let mut bytes = Vec::with_capacity(CONFIG_LEN_USUAL);
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
    if let Some(shape) = &config.shape {
        check(shape)?;
    }
    Ok(config)
}

/// Checks that a microVM can have this shape.
///
/// # Errors
/// What is impossible, with what is possible.
pub fn check(shape: &Shape) -> Result<(), ShapeError> {
    if !(1..=VCPUS_MAX).contains(&shape.vcpus) {
        return Err(ShapeError::Vcpus { vcpus: shape.vcpus });
    }
    check_memory(shape.growth_mib, GROWTH_MIB_MAX)?;
    for (&slot, device) in &shape.slots {
        if usize::from(slot) >= SLOT_COUNT {
            return Err(ShapeError::Slot { slot });
        }
        if !fits(slot, device) {
            return Err(ShapeError::Standing { slot });
        }
        match device {
            Device::Vsock { guest_cid, .. }
                if !GUEST_CIDS.contains(guest_cid) || (slot == standing::VSOCK && *guest_cid != GUEST_CID) =>
            {
                return Err(ShapeError::GuestCid {
                    guest_cid: *guest_cid,
                    slot,
                });
            }
            Device::Memory { mib } => {
                let mib_max = u32::try_from(LATE_MEMORY_BYTES_MAX >> 20).unwrap_or(u32::MAX);
                check_memory(*mib, mib_max)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_memory(mib: u32, mib_max: u32) -> Result<(), ShapeError> {
    if mib > mib_max || !mib.is_multiple_of(GROWTH_STEP_MIB) {
        return Err(ShapeError::Memory { mib, mib_max });
    }
    Ok(())
}

/// Whether `device` may be in `slot`: a standing device's driver knows what it is.
fn fits(slot: u8, device: &Device) -> bool {
    match slot {
        standing::VSOCK => matches!(device, Device::Vsock { .. }),
        standing::PMEM => matches!(device, Device::Pmem { .. }),
        standing::DISK => matches!(device, Device::BlockConcatenation { .. }),
        standing::SCRATCH => matches!(device, Device::BlockCopyOnWrite { .. } | Device::BlockFile { .. }),
        standing::NETWORK => matches!(device, Device::Network { .. }),
        standing::MEMORY | standing::BALLOON => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A valid configuration in which `from` is replaced by `to`; gives the error's whole sentence.
    fn check(from: &str, to: &str) -> Result<Config, String> {
        let valid = r#"{"origin":{"boot":{"kernel":"/k","initramfs":"/i"}},"shape":{"vcpus":1,"growth_mib":64,"slots":{"7":"rng"}},
            "control":{"path":"/c"}}"#;
        assert!(valid.contains(from));
        parse(valid.replace(from, to).as_bytes()).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    fn check_refused(from: &str, to: &str, expected: &str) {
        let sentence = check(from, to).unwrap_err();
        assert!(sentence.contains(expected), "{sentence}");
    }

    #[test]
    fn a_valid_config_is_taken() {
        assert_eq!(check("64", "32").unwrap().shape.unwrap().growth_mib, 32);
    }

    #[test]
    fn an_unknown_member_is_named() {
        check_refused(
            "\"vcpus\"",
            "\"turbo\":true,\"vcpus\"",
            "the config is not valid: unknown field `turbo`",
        );
    }

    #[test]
    fn a_missing_member_is_named() {
        check_refused(",\"initramfs\":\"/i\"", "", "missing field `initramfs`");
    }

    #[test]
    fn a_shape_may_come_later() {
        let waiting = br#"{"origin":{"template":"/t"},"control":{"path":"/c"}}"#;
        assert_eq!(parse(waiting).unwrap().shape, None);
    }

    #[test]
    fn impossible_shapes_are_refused_with_what_is_possible() {
        check_refused("\"vcpus\":1", "\"vcpus\":0", "1 to 16 are possible");
        check_refused("\"vcpus\":1", "\"vcpus\":17", "17 vCPUs");
        check_refused("64", "98306", "98306 MiB");
        check_refused("64", "3", "multiples of 2");
        let host = "\"7\":{\"vsock\":{\"guest_cid\":2,\"socket\":\"/v\"}}";
        check_refused("\"7\":\"rng\"", host, "context id 2");
        check_refused(
            "\"7\":\"rng\"",
            &host.replace('7', "0").replace('2', "9"),
            "context id 9 at slot 0",
        );
        check_refused("\"7\"", "\"16\"", "slots 0 to 15");
        check_refused("\"7\"", "\"2\"", "another device in slot 2");
        check_refused("\"rng\"", "{\"memory\":{\"mib\":16386}}", "16386 MiB");
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
