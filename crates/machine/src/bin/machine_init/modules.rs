//! Loads the kernel modules that the initramfs carries, in the order of their names.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const DIRECTORY: &str = "/modules";

/// Loads every module that fits this CPU.
pub fn load_all() -> Result<()> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(DIRECTORY)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .context("cannot list the modules")?;
    paths.sort();
    for path in paths.iter().filter(|path| fits(path, &cpu)) {
        load(path).with_context(|| format!("cannot load the module {}", path.display()))?;
    }
    Ok(())
}

/// Each vendor's half of KVM wants that vendor's virtualization.
fn fits(module: &Path, cpu: &str) -> bool {
    let has = |wanted: &str| cpu.split_whitespace().any(|flag| flag == wanted);
    let name = module.to_string_lossy();
    if name.ends_with("kvm-amd.ko") {
        has("svm")
    } else if name.ends_with("kvm-intel.ko") {
        has("vmx")
    } else {
        true
    }
}

fn load(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    rustix::system::finit_module(&file, c"", 0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vendor_gets_its_own_half_of_kvm() {
        let check =
            |module: &str, cpu: &str, fit: bool| assert_eq!(fits(Path::new(module), cpu), fit, "{module} on {cpu}");
        check("/modules/15-kvm-amd.ko", "flags : fpu svm npt", true);
        check("/modules/15-kvm-amd.ko", "flags : fpu vmx svm_lock", false);
        check("/modules/16-kvm-intel.ko", "flags : fpu vmx", true);
        check("/modules/16-kvm-intel.ko", "flags : fpu svm", false);
        check("/modules/10-overlay.ko", "", true);
    }
}
