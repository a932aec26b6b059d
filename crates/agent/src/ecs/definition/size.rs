//! CPU and memory as ECS writes them: `256` or `.25 vCPU`, `512` or `0.5 GB`. Any size is a size: there is no table.

use api::ecs::containers::ContainerDefinition;
use api::ecs::error::EcsError;

/// CPU units of one vCPU.
const UNITS: u64 = 1024;

/// The CPU of a task that nothing is said of, in thousandths of a vCPU.
const VCPU_MILLI_DEFAULT: u32 = 250;

/// The size of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// CPU, in thousandths of a vCPU.
    pub vcpu_milli: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
}

/// The size of a task: what its definition or request says, or else what its containers need together.
///
/// # Errors
/// Where it is no size, or nothing says how much memory.
pub fn size(cpu: Option<&str>, memory: Option<&str>, containers: &[ContainerDefinition]) -> Result<Size, EcsError> {
    let vcpu_milli = match cpu {
        Some(text) => vcpu_milli(text)?,
        None => {
            let units: i64 = containers.iter().filter_map(|container| container.cpu).sum();
            match u64::try_from(units) {
                Ok(0) | Err(_) => VCPU_MILLI_DEFAULT,
                Ok(units) => milli_of_units(units).unwrap_or(u32::MAX),
            }
        }
    };
    let memory_mib = match memory {
        Some(text) => memory_mib(text)?,
        None => memory_of(containers)?,
    };
    Ok(Size { vcpu_milli, memory_mib })
}

/// CPU as ECS tells it: units, or vCPUs where that is no whole number of units.
#[must_use]
pub fn cpu_text(vcpu_milli: u32) -> String {
    let product = u64::from(vcpu_milli) * UNITS;
    // The nearest number of units, where reading it again gives the same.
    let units = (product + 500) / 1000;
    if units > 0 && milli_of_units(units) == Some(vcpu_milli) && product.is_multiple_of(1000) {
        return units.to_string();
    }
    let fraction = format!("{}.{:03}", vcpu_milli / 1000, vcpu_milli % 1000);
    format!("{} vCPU", fraction.trim_end_matches('0').trim_end_matches('.'))
}

fn vcpu_milli(text: &str) -> Result<u32, EcsError> {
    let invalid = || {
        EcsError::client(format!(
            "Invalid 'cpu' setting for task: {text:?} is neither units (256) nor vCPUs (.25 vCPU)."
        ))
    };
    let (number, unit) = split(text);
    let milli = match unit.to_ascii_lowercase().as_str() {
        "" => number.parse().ok().and_then(milli_of_units),
        "vcpu" | "vcpus" => scaled(number, 1000),
        _ => None,
    };
    milli.filter(|milli| *milli > 0).ok_or_else(invalid)
}

fn memory_mib(text: &str) -> Result<u32, EcsError> {
    let invalid = || {
        EcsError::client(format!(
            "Invalid 'memory' setting for task: {text:?} is neither MiB (512) nor GB (0.5 GB)."
        ))
    };
    let (number, unit) = split(text);
    let mib = match unit.to_ascii_lowercase().as_str() {
        "" => number.parse().ok(),
        "mb" | "mib" => scaled(number, 1),
        "gb" | "gib" => scaled(number, 1024),
        _ => None,
    };
    mib.filter(|mib| *mib > 0).ok_or_else(invalid)
}

fn memory_of(containers: &[ContainerDefinition]) -> Result<u32, EcsError> {
    let mut total = 0_u64;
    for container in containers {
        let own = container
            .memory
            .or(container.memory_reservation)
            .and_then(|mib| u64::try_from(mib).ok());
        let name = container.name.as_deref().unwrap_or_default();
        total += own.filter(|mib| *mib > 0).ok_or_else(|| {
            EcsError::client(format!(
                "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must be specified."
            ))
        })?;
    }
    u32::try_from(total).map_err(|_| EcsError::client("the containers' memory is too much"))
}

fn milli_of_units(units: u64) -> Option<u32> {
    u32::try_from((units.checked_mul(1000)? + UNITS / 2) / UNITS)
        .ok()
        .map(|milli| milli.max(u32::from(units > 0)))
}

fn split(text: &str) -> (&str, &str) {
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

/// `number`, which may have a fraction, times `factor`, rounded up.
fn scaled(number: &str, factor: u64) -> Option<u32> {
    /// More digits than anybody needs.
    const DIGITS_MAX: usize = 9;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > DIGITS_MAX || fraction.len() > DIGITS_MAX {
        return None;
    }
    let digits = |text: &str| {
        if text.is_empty() {
            Some(0_u64)
        } else {
            text.parse().ok()
        }
    };
    let divisor = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let total = digits(whole)?.checked_mul(factor)?.checked_mul(divisor)?;
    u32::try_from((total + digits(fraction)? * factor).div_ceil(divisor)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(cpu: &str, memory: &str, wanted: Option<(u32, u32)>) {
        let size = size(Some(cpu), Some(memory), &[]).ok();
        assert_eq!(
            size.map(|size| (size.vcpu_milli, size.memory_mib)),
            wanted,
            "{cpu} {memory}"
        );
    }

    #[test]
    fn sizes_are_read_as_ecs_writes_them() {
        check("256", "512", Some((250, 512)));
        check(".25 vCPU", "0.5 GB", Some((250, 512)));
        check("1 vCPU", "1GB", Some((1000, 1024)));
        check("0.001 vCPU", "100 MB", Some((1, 100)));
        check("100", "7", Some((98, 7)));
        for wrong in ["", "vCPU", "-1", "0", "1.5", "1 cpu", "1.1.1 vCPU", "99999999999"] {
            check(wrong, "512", None);
        }
        for wrong in ["", "GB", "-1", "0", "0.5", "1 TB"] {
            check("256", wrong, None);
        }
    }

    #[test]
    fn without_a_size_the_containers_say_it() {
        let container = |cpu, memory| ContainerDefinition {
            cpu,
            memory,
            ..ContainerDefinition::default()
        };
        let both = [container(Some(512), Some(100)), container(Some(512), Some(28))];
        assert_eq!(
            size(None, None, &both).unwrap(),
            Size {
                vcpu_milli: 1000,
                memory_mib: 128
            }
        );
        assert!(size(None, None, &[container(None, None)]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_told_is_read_again(vcpu_milli in 1_u32..256_000) {
            prop_assert_eq!(super::vcpu_milli(&cpu_text(vcpu_milli)).unwrap(), vcpu_milli);
        }

        #[test]
        fn reading_never_panics(text in ".{0,40}") {
            let _ = (super::vcpu_milli(&text), memory_mib(&text));
        }
    }
}
