//! What a vCPU's `CPUID` says: what the host and KVM can do, with the identity and the topology of this guest.
//!
//! Leaves are named as in Intel's SDM, volume 2A, and AMD's APM, volume 3, appendix E. Every vCPU is a core of its own in one package.

use kvm_bindings::{KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

const VENDOR: u32 = 0;
const FEATURES: u32 = 1;
const CACHES_INTEL: u32 = 4;
const TOPOLOGY: u32 = 0xb;
const TOPOLOGY_V2: u32 = 0x1f;
const FEATURES_AMD: u32 = 0x8000_0001;
const SIZES_AMD: u32 = 0x8000_0008;
const CACHES_AMD: u32 = 0x8000_001d;
const IDENTITY_AMD: u32 = 0x8000_001e;
const TOPOLOGY_AMD: u32 = 0x8000_0026;

const FEATURES_ECX_TSC_DEADLINE: u32 = 1 << 24;
const FEATURES_ECX_HYPERVISOR: u32 = 1 << 31;
const FEATURES_EDX_MULTITHREADING: u32 = 1 << 28;
const FEATURES_AMD_ECX_MULTICORE: u32 = 1 << 1;

/// The kinds of level that the topology leaves tell apart, in bits 15:8 of `ecx`.
const LEVEL_THREAD: u32 = 1 << 8;
const LEVEL_CORE: u32 = 2 << 8;
/// The cache level from which on all vCPUs share a cache.
const SHARED_CACHE_LEVEL: u32 = 3;

/// Which of a guest's vCPUs is meant, and what it runs on.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// Its index, which is its APIC id.
    pub vcpu: u8,
    /// The number of vCPUs.
    pub vcpus: u8,
    /// Whether KVM's local APIC has a deadline timer.
    pub tsc_deadline: bool,
}

impl Identity {
    fn apic_id(self) -> u32 {
        self.vcpu.into()
    }

    fn count(self) -> u32 {
        self.vcpus.into()
    }

    /// Bits of an APIC id that tell the vCPUs apart.
    fn id_bits(self) -> u32 {
        self.count().next_power_of_two().trailing_zeros()
    }

    /// The number of APIC ids that these bits can tell apart, less one.
    fn ids_less_one(self) -> u32 {
        self.count().next_power_of_two() - 1
    }
}

/// Whether the host's processor is Intel's.
#[must_use]
pub fn is_intel(supported: &[kvm_cpuid_entry2]) -> bool {
    has_vendor(supported, *b"GenuineIntel")
}

/// Whether a vCPU with these leaves has a deadline timer.
#[must_use]
pub fn has_tsc_deadline(leaves: &[kvm_cpuid_entry2]) -> bool {
    leaves
        .iter()
        .any(|leaf| leaf.function == FEATURES && leaf.ecx & FEATURES_ECX_TSC_DEADLINE != 0)
}

fn has_vendor(supported: &[kvm_cpuid_entry2], vendor: [u8; 12]) -> bool {
    supported.iter().filter(|entry| entry.function == VENDOR).any(|entry| {
        let registers = [entry.ebx, entry.edx, entry.ecx].map(u32::to_le_bytes);
        registers.as_flattened() == vendor
    })
}

/// The leaves of one vCPU, made from those that KVM supports on this host.
#[must_use]
pub fn adjust(supported: &[kvm_cpuid_entry2], identity: Identity) -> Vec<kvm_cpuid_entry2> {
    let amd = has_vendor(supported, *b"AuthenticAMD") || has_vendor(supported, *b"HygonGenuine");
    let described_anew = [TOPOLOGY, TOPOLOGY_V2, TOPOLOGY_AMD];
    let kept = supported
        .iter()
        .filter(|entry| !described_anew.contains(&entry.function));
    let mut leaves: Vec<_> = kept.map(|entry| adjust_leaf(*entry, identity, amd)).collect();
    for function in [TOPOLOGY, TOPOLOGY_V2] {
        if supported.iter().any(|entry| entry.function == function) {
            leaves.extend(topology(function, identity));
        }
    }
    // A leaf that is not there reads as zeros, and KVM goes through all that are there some hundred times for each vCPU.
    leaves.retain(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx] != [0; 4]);
    leaves
}

fn adjust_leaf(mut leaf: kvm_cpuid_entry2, identity: Identity, amd: bool) -> kvm_cpuid_entry2 {
    let several = identity.vcpus > 1;
    match leaf.function {
        FEATURES => {
            leaf.ebx = leaf.ebx & 0xffff | (identity.ids_less_one() + 1) << 16 | identity.apic_id() << 24;
            leaf.ecx |= FEATURES_ECX_HYPERVISOR;
            leaf.ecx = with(leaf.ecx, FEATURES_ECX_TSC_DEADLINE, identity.tsc_deadline);
            leaf.edx = with(leaf.edx, FEATURES_EDX_MULTITHREADING, several);
        }
        CACHES_INTEL if leaf.eax & 0x1f != 0 => {
            leaf.eax = leaf.eax & 0x3fff | cache_sharers(leaf.eax, identity) << 14 | identity.ids_less_one() << 26;
        }
        CACHES_AMD if leaf.eax & 0x1f != 0 => {
            leaf.eax = leaf.eax & 0x3fff | cache_sharers(leaf.eax, identity) << 14;
        }
        FEATURES_AMD if amd => leaf.ecx = with(leaf.ecx, FEATURES_AMD_ECX_MULTICORE, several),
        SIZES_AMD if amd => leaf.ecx = (identity.count() - 1) | (identity.id_bits() << 12),
        IDENTITY_AMD => {
            leaf.eax = identity.apic_id();
            leaf.ebx = identity.apic_id();
            leaf.ecx = 0;
            leaf.edx = 0;
        }
        _ => {}
    }
    leaf
}

/// The number of APIC ids that share the cache which `eax` of a cache leaf describes, less one.
fn cache_sharers(eax: u32, identity: Identity) -> u32 {
    let level = eax >> 5 & 7;
    if level >= SHARED_CACHE_LEVEL {
        identity.ids_less_one()
    } else {
        0
    }
}

fn with(register: u32, bit: u32, set: bool) -> u32 {
    if set { register | bit } else { register & !bit }
}

/// One thread to a core, all cores in the package, and the end of the list.
fn topology(function: u32, identity: Identity) -> [kvm_cpuid_entry2; 3] {
    let levels = [
        (0, 1, LEVEL_THREAD),
        (identity.id_bits(), identity.count(), LEVEL_CORE),
        (0, 0, 0),
    ];
    let mut index = 0;
    levels.map(|(shift, processors, level)| {
        let leaf = kvm_cpuid_entry2 {
            function,
            index,
            flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            eax: shift,
            ebx: processors,
            ecx: level | index,
            edx: identity.apic_id(),
            ..Default::default()
        };
        index += 1;
        leaf
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaf(function: u32, index: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> kvm_cpuid_entry2 {
        kvm_cpuid_entry2 {
            function,
            index,
            eax,
            ebx,
            ecx,
            edx,
            ..Default::default()
        }
    }

    fn amd() -> Vec<kvm_cpuid_entry2> {
        vec![
            leaf(0, 0, [0xd, 0x6874_7541, 0x444d_4163, 0x6974_6e65]),
            leaf(1, 0, [0x0080_0f12, 0x0702_0800, 0, 1 << 28]),
            leaf(0xb, 0, [1, 2, 0x100, 7]),
            leaf(0xb, 1, [4, 16, 0x201, 7]),
            leaf(0x8000_0002, 0, [0x2044_4d41, 0x4359_5045, 0x2d20_3120, 0x6576_6967]),
            leaf(0x8000_0008, 0, [0x3030, 0, 0x4007, 0]),
            leaf(0x8000_001d, 0, [0x0000_4121, 0, 0, 0]),
            leaf(0x8000_001d, 3, [0x0001_c163, 0, 0, 0]),
            leaf(0x8000_001e, 0, [7, 0x103, 0x100, 0]),
        ]
    }

    fn find(leaves: &[kvm_cpuid_entry2], function: u32, index: u32) -> kvm_cpuid_entry2 {
        *leaves
            .iter()
            .find(|leaf| leaf.function == function && leaf.index == index)
            .unwrap()
    }

    fn identity(vcpu: u8, vcpus: u8) -> Identity {
        Identity {
            vcpu,
            vcpus,
            tsc_deadline: true,
        }
    }

    #[test]
    fn a_single_vcpu_is_alone_in_its_package() {
        let leaves = adjust(&amd(), identity(0, 1));
        let features = find(&leaves, 1, 0);
        assert_eq!(features.ebx, 0x0001_0800);
        assert_eq!(features.ecx, 1 << 31 | 1 << 24);
        assert_eq!(features.edx, 0);
        assert_eq!(find(&leaves, 0x8000_0008, 0).ecx, 0);
        assert_eq!(find(&leaves, 0x8000_001d, 3).eax, 0x163);
        assert_eq!(find(&leaves, 0xb, 1).ebx, 1);
    }

    #[test]
    fn the_third_of_four_vcpus_knows_its_place() {
        let leaves = adjust(&amd(), identity(2, 4));
        assert_eq!(find(&leaves, 1, 0).ebx, 0x0204_0800);
        assert_eq!(find(&leaves, 1, 0).edx, 1 << 28);
        assert_eq!(find(&leaves, 0x8000_0008, 0).ecx, 0x2003);
        assert_eq!(find(&leaves, 0x8000_001d, 0).eax, 0x121);
        assert_eq!(find(&leaves, 0x8000_001d, 3).eax, 0xc163);
        assert_eq!(find(&leaves, 0x8000_001e, 0).eax, 2);
        let core = find(&leaves, 0xb, 1);
        assert_eq!([core.eax, core.ebx, core.ecx, core.edx], [2, 4, 0x201, 2]);
    }

    #[test]
    fn the_brand_is_the_hosts() {
        assert_eq!(find(&adjust(&amd(), identity(0, 1)), 0x8000_0002, 0), amd()[4]);
    }

    #[test]
    fn a_leaf_that_the_host_lacks_is_not_made_up() {
        assert!(adjust(&amd(), identity(0, 1)).iter().all(|leaf| leaf.function != 0x1f));
        assert!(!is_intel(&amd()));
    }

    proptest! {
        #[test]
        fn apic_ids_fit_into_the_announced_bits(vcpus in 1..=32_u8, vcpu in 0..32_u8) {
            prop_assume!(vcpu < vcpus);
            let leaves = adjust(&amd(), identity(vcpu, vcpus));
            let core = find(&leaves, 0xb, 1);
            prop_assert_eq!(core.edx >> core.eax, 0);
            prop_assert!(1 << core.eax >= core.ebx);
        }

        #[test]
        fn no_leaf_of_a_host_is_too_strange(function in any::<u32>(), registers in any::<[u32; 4]>(), vcpus in 1..=32_u8) {
            let leaves = adjust(&[leaf(function, 0, registers)], identity(vcpus - 1, vcpus));
            prop_assert!(leaves.iter().all(|leaf| [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx] != [0; 4]));
        }
    }
}
