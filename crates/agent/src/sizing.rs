//! Sizes: from what a user asks for to what a microVM and its cgroups get.

use protocol::vmm::{BASE_MEMORY_MIB, GROWTH_STEP_MIB, VCPUS_MAX};

/// The least CPU, in thousandths of a vCPU: the kernel's shortest quota in its longest period.
pub const VCPU_MILLI_MIN: u32 = 1;

/// The most CPU, in thousandths of a vCPU.
pub const VCPU_MILLI_MAX: u32 = VCPUS_MAX as u32 * 1000;

/// The least memory of a container, in MiB, as Docker has it: below, not even a shell can be relied on.
pub const MEMORY_MIB_MIN: u32 = 6;

/// The most memory of a container, in MiB.
pub const MEMORY_MIB_MAX: u32 = 64 << 10;

/// What guest kernel and guest agent take whatever the size, in MiB: 13 reserved at boot, 10 in use when nothing else runs, the rest
/// until the last byte of a container's limit can be had (measured with Linux 6.12).
const GUEST_BASE_MIB: u32 = 35;

/// What the guest keeps ready in every template, in MiB: the page structs of the pmem window, and areas for each vCPU that it might get.
const GUEST_STANDING_MIB: u32 = 9;

/// What each vCPU that is online adds to that, in MiB: stacks, and its own lists of free pages (measured).
const GUEST_VCPU_MIB: u32 = 3;

/// The share of its memory that a guest does not give to containers: the pages that it keeps free (measured).
const GUEST_SHARE: u32 = 64;

/// Memory is plugged in blocks of this size, in MiB (Linux's `memory_block_size_bytes` on x86-64).
const GROWTH_BLOCK_MIB: u32 = 128;

/// What the page structs of one such block take, in MiB: 64 bytes for each 4096.
const GROWTH_BLOCK_OVERHEAD_MIB: u32 = 2;

/// What the VMM's process may use beyond guest memory, in MiB; the page cache of the files that it reads counts too, but is given back under pressure.
const VMM_BASE_MIB: u64 = 48;

/// The share of guest memory that KVM's page tables can take: 8 bytes for each 4096, twice (the host's own tables and the guest's).
const PAGE_TABLE_SHARE: u64 = 256;

/// The kernel's shortest quota, in microseconds (`min_cfs_quota_period`).
const QUOTA_MICROSECONDS_MIN: u32 = 1_000;

/// The quota that a period is chosen for, in microseconds: the slice that the kernel hands to a CPU at once (`sched_cfs_bandwidth_slice_us`).
const QUOTA_MICROSECONDS_WANTED: u32 = 5_000;

/// The shortest period, in microseconds: shorter ones cost more timer interrupts than they smooth.
const PERIOD_MICROSECONDS_MIN: u32 = 10_000;

/// The period of whole vCPUs, in microseconds. They are held back for what their devices take alone; but what is lost between two
/// periods is lost for good, 5 % of 10 ms and 0.1 % of these 100 (measured; decision 13).
const PERIOD_MICROSECONDS_WHOLE: u32 = 100_000;

/// The kernel's longest period, in microseconds (`max_cfs_quota_period`).
const PERIOD_MICROSECONDS_MAX: u32 = 1_000_000;

/// Why a size cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Less or more CPU than possible.
    #[error(
        "{vcpu_milli} thousandths of a vCPU were asked for: possible are {VCPU_MILLI_MIN} (0.001 vCPU) to {VCPU_MILLI_MAX} ({} vCPU)",
        VCPU_MILLI_MAX / 1000
    )]
    Vcpu {
        /// What was asked for.
        vcpu_milli: u32,
    },
    /// Less or more memory than possible.
    #[error("{memory_mib} MiB of memory were asked for: possible are {MEMORY_MIB_MIN} MiB to {MEMORY_MIB_MAX} MiB")]
    Memory {
        /// What was asked for.
        memory_mib: u32,
    },
}

/// The size of one task's microVM and of the bounds around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Whole vCPUs.
    pub vcpus: u8,
    /// What the microVM's memory grows by beyond [`BASE_MEMORY_MIB`], in MiB.
    pub growth_mib: u32,
    /// The container's limit in the guest, in bytes.
    pub container_memory_bytes: u64,
    /// The limit on the VMM's process, in bytes.
    pub vmm_memory_bytes: u64,
    /// The CPU limit on the VMM's process.
    pub cpu: CpuLimit,
}

/// A `cpu.max`: so much CPU time in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuLimit {
    /// CPU time, in microseconds.
    pub quota_microseconds: u32,
    /// The period, in microseconds.
    pub period_microseconds: u32,
}

impl Sizing {
    /// All memory of the guest, in MiB.
    #[must_use]
    pub fn guest_memory_mib(&self) -> u64 {
        u64::from(BASE_MEMORY_MIB) + u64::from(self.growth_mib)
    }
}

/// Sizes a task.
///
/// # Errors
/// [`SizeError`] for what no host can give.
pub fn size(vcpu_milli: u32, memory_mib: u32) -> Result<Sizing, SizeError> {
    if !(VCPU_MILLI_MIN..=VCPU_MILLI_MAX).contains(&vcpu_milli) {
        return Err(SizeError::Vcpu { vcpu_milli });
    }
    if !(MEMORY_MIB_MIN..=MEMORY_MIB_MAX).contains(&memory_mib) {
        return Err(SizeError::Memory { memory_mib });
    }
    let vcpus = vcpu_milli.div_ceil(1000);
    let growth_mib = growth_mib(vcpus, memory_mib);
    Ok(Sizing {
        vcpus: u8::try_from(vcpus).map_err(|_| SizeError::Vcpu { vcpu_milli })?,
        growth_mib,
        container_memory_bytes: u64::from(memory_mib) << 20,
        vmm_memory_bytes: vmm_memory_bytes(growth_mib),
        cpu: cpu_limit(vcpu_milli),
    })
}

/// The limit on a VMM whose guest grows by so much, in bytes.
#[must_use]
pub const fn vmm_memory_bytes(growth_mib: u32) -> u64 {
    let guest_memory_mib = BASE_MEMORY_MIB as u64 + growth_mib as u64;
    (guest_memory_mib + guest_memory_mib.div_ceil(PAGE_TABLE_SHARE) + VMM_BASE_MIB) << 20
}

/// What the container's memory and the platform's need beyond the memory that every guest boots with.
const fn growth_mib(vcpus: u32, memory_mib: u32) -> u32 {
    let content_mib = memory_mib + GUEST_BASE_MIB + GUEST_STANDING_MIB + vcpus * GUEST_VCPU_MIB;
    let wanted_mib = content_mib + content_mib.div_ceil(GUEST_SHARE - 1);
    let usable_mib = wanted_mib
        .saturating_sub(BASE_MEMORY_MIB)
        .next_multiple_of(GROWTH_STEP_MIB);
    // Each block pays for its own page structs, so this many blocks hold both.
    let blocks = usable_mib.div_ceil(GROWTH_BLOCK_MIB - GROWTH_BLOCK_OVERHEAD_MIB);
    usable_mib + blocks * GROWTH_BLOCK_OVERHEAD_MIB
}

/// Of a fraction, the shortest period, in whole milliseconds, that gives a whole slice; small ones get smaller quotas rather than a longer period than
/// the kernel has.
fn cpu_limit(vcpu_milli: u32) -> CpuLimit {
    // In whole milliseconds a period has as many thousandths as microseconds have whole numbers: the fraction is exact.
    let wanted_milliseconds = QUOTA_MICROSECONDS_WANTED.div_ceil(vcpu_milli);
    let period_microseconds = if vcpu_milli.is_multiple_of(1000) {
        PERIOD_MICROSECONDS_WHOLE
    } else {
        (wanted_milliseconds * 1000).clamp(PERIOD_MICROSECONDS_MIN, PERIOD_MICROSECONDS_MAX)
    };
    let quota_microseconds = (period_microseconds / 1000) * vcpu_milli;
    debug_assert!(
        quota_microseconds >= QUOTA_MICROSECONDS_MIN,
        "the kernel refuses this quota"
    );
    CpuLimit {
        quota_microseconds,
        period_microseconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocol::vmm::GROWTH_MIB_MAX;

    fn check(vcpu_milli: u32, vcpus: u8, quota_microseconds: u32, period_microseconds: u32) {
        let sizing = size(vcpu_milli, 64).unwrap();
        assert_eq!(sizing.vcpus, vcpus);
        assert_eq!(
            sizing.cpu,
            CpuLimit {
                quota_microseconds,
                period_microseconds
            }
        );
    }

    #[test]
    fn small_fractions_get_long_periods_and_large_ones_short_periods() {
        check(1, 1, 1_000, 1_000_000);
        check(5, 1, 5_000, 1_000_000);
        check(100, 1, 5_000, 50_000);
        check(250, 1, 5_000, 20_000);
        check(1500, 2, 15_000, 10_000);
    }

    #[test]
    fn whole_vcpus_get_the_period_that_loses_least() {
        check(1000, 1, 100_000, 100_000);
        check(4000, 4, 400_000, 100_000);
    }

    #[test]
    fn the_container_gets_exactly_what_was_asked() {
        assert_eq!(size(250, 64).unwrap().container_memory_bytes, 64 << 20);
    }

    #[test]
    fn what_no_host_can_give_is_refused() {
        assert_eq!(size(0, 64), Err(SizeError::Vcpu { vcpu_milli: 0 }));
        assert_eq!(
            size(VCPU_MILLI_MAX + 1, 64),
            Err(SizeError::Vcpu {
                vcpu_milli: VCPU_MILLI_MAX + 1
            })
        );
        assert_eq!(size(250, 5), Err(SizeError::Memory { memory_mib: 5 }));
        assert_eq!(size(250, u32::MAX), Err(SizeError::Memory { memory_mib: u32::MAX }));
    }

    proptest! {
        #[test]
        fn every_fraction_is_exact_and_within_the_kernels_limits(vcpu_milli in VCPU_MILLI_MIN..=VCPU_MILLI_MAX) {
            let cpu = size(vcpu_milli, 64).unwrap().cpu;
            prop_assert!(cpu.quota_microseconds >= QUOTA_MICROSECONDS_MIN);
            prop_assert!((PERIOD_MICROSECONDS_MIN..=PERIOD_MICROSECONDS_MAX).contains(&cpu.period_microseconds));
            prop_assert_eq!(
                u64::from(cpu.quota_microseconds) * 1000,
                u64::from(vcpu_milli) * u64::from(cpu.period_microseconds)
            );
        }

        #[test]
        fn a_guest_has_room_for_container_platform_and_page_structs(
            memory_mib in MEMORY_MIB_MIN..=MEMORY_MIB_MAX, vcpu_milli in 1..=VCPU_MILLI_MAX
        ) {
            let sizing = size(vcpu_milli, memory_mib).unwrap();
            prop_assert_eq!(sizing.growth_mib % GROWTH_STEP_MIB, 0);
            prop_assert!(sizing.growth_mib <= GROWTH_MIB_MAX);
            let page_structs_mib = sizing.growth_mib.div_ceil(GROWTH_BLOCK_MIB) * GROWTH_BLOCK_OVERHEAD_MIB;
            let guest_mib = BASE_MEMORY_MIB + sizing.growth_mib - page_structs_mib;
            let kept_mib = guest_mib / GUEST_SHARE;
            prop_assert!(guest_mib - kept_mib >= memory_mib + GUEST_BASE_MIB + GUEST_STANDING_MIB);
            prop_assert!(sizing.vmm_memory_bytes > u64::from(BASE_MEMORY_MIB + sizing.growth_mib) << 20);
        }
    }

    #[test]
    fn a_small_container_fits_into_the_base() {
        assert_eq!(size(250, 12).unwrap().growth_mib, 0);
    }

    #[test]
    fn a_block_more_takes_its_page_structs_with_it() {
        let growth_mib = |memory_mib| size(1000, memory_mib).unwrap().growth_mib;
        assert_eq!(growth_mib(14) % GROWTH_STEP_MIB, 0);
        let edge = (MEMORY_MIB_MIN..400)
            .find(|memory_mib| growth_mib(*memory_mib) > GROWTH_BLOCK_MIB)
            .unwrap();
        assert!(growth_mib(edge) >= GROWTH_BLOCK_MIB + GROWTH_BLOCK_OVERHEAD_MIB);
    }
}
