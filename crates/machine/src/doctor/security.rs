//! What makes a host safer to run strangers' guests on: what guides for production ask for, and why.

use std::fs;
use std::path::Path;

use super::{Check, CheckStatus};

/// The first kernel that has all that VMMs are confined with: births into control groups, Landlock, and no speculation penalty for seccomp.
const KERNEL_MIN: (u32, u32) = (5, 16);

/// Where the kernel tells of each processor flaw, and of what it does about it.
const VULNERABILITIES: &str = "sys/devices/system/cpu/vulnerabilities";

/// All findings about the host whose file system is at `root`.
pub fn security(root: &Path) -> Vec<Check> {
    let host = Host { root };
    vec![
        host.kernel(),
        host.vulnerabilities(),
        host.smt(),
        host.ksm(),
        host.swap(),
        host.huge_pages(),
        host.favordynmods(),
        host.user_namespaces(),
        host.seccomp(),
        host.landlock(),
        host.root_user(),
    ]
}

struct Host<'a> {
    root: &'a Path,
}

fn check(name: &'static str, is_fine: bool, finding: String, advice: &str) -> Check {
    Check {
        name,
        status: if is_fine { CheckStatus::Ok } else { CheckStatus::Warn },
        finding,
        advice: (!is_fine).then(|| advice.to_owned()),
    }
}

impl Host<'_> {
    fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    fn kernel(&self) -> Check {
        let release = self.read("proc/sys/kernel/osrelease").unwrap_or_default();
        let is_fine = version(&release).is_some_and(|version| version >= KERNEL_MIN);
        let advice = "use a kernel that is still maintained, 5.16 or later: an older one lacks ways to confine a VMM, and fixes of KVM";
        check("kernel", is_fine, format!("Linux {release}"), advice)
    }

    fn vulnerabilities(&self) -> Check {
        let mut open: Vec<String> = fs::read_dir(self.root.join(VULNERABILITIES))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let text = fs::read_to_string(entry.path()).ok()?;
                let name = entry.file_name().to_string_lossy().into_owned();
                text.starts_with("Vulnerable")
                    .then(|| format!("{name}: {}", text.trim()))
            })
            .collect();
        open.sort();
        let is_known = self.root.join(VULNERABILITIES).is_dir();
        let finding = match (is_known, open.is_empty()) {
            (false, _) => "the kernel does not tell".to_owned(),
            (true, true) => "every known flaw of this processor is mitigated".to_owned(),
            (true, false) => open.join("; "),
        };
        let advice = "update microcode and kernel, and boot without mitigations=off: a guest can read what the host and other guests have in memory";
        check("processor-flaws", is_known && open.is_empty(), finding, advice)
    }

    fn smt(&self) -> Check {
        let active = self.read("sys/devices/system/cpu/smt/active");
        let finding = match active.as_deref() {
            Some("1") => "two threads share a core",
            Some(_) => "each core runs one thread",
            None => "the kernel does not tell; there is one thread in each core as far as it knows",
        };
        let advice = "boot with nosmt where tenants do not trust each other: guests on one core can see each other through its caches";
        check("smt", active.as_deref() != Some("1"), finding.to_owned(), advice)
    }

    fn ksm(&self) -> Check {
        let run = self.read("sys/kernel/mm/ksm/run");
        let is_off = run.as_deref().is_none_or(|run| run == "0" || run == "2");
        let finding = if is_off {
            "off"
        } else {
            "equal pages of memory are merged"
        };
        let advice = "echo 2 > /sys/kernel/mm/ksm/run: by the time that a write takes, a guest learns what others have in memory";
        check("same-page-merging", is_off, finding.to_owned(), advice)
    }

    fn swap(&self) -> Check {
        let swaps = self.read("proc/swaps").unwrap_or_default();
        // Below the heading.
        let count = swaps.lines().skip(1).count();
        let finding = if count == 0 {
            "off".to_owned()
        } else {
            format!("{count} in use")
        };
        let advice = "swapoff -a, or encrypt it: what guests have in memory stays on the disk after they are gone";
        check("swap", count == 0, finding, advice)
    }

    /// Large pages that can be executed crash some Intel processors (iTLB multihit).
    fn huge_pages(&self) -> Check {
        let setting = self.read("sys/module/kvm/parameters/nx_huge_pages");
        let flaw = self
            .read(&format!("{VULNERABILITIES}/itlb_multihit"))
            .unwrap_or_default();
        let is_affected = !flaw.is_empty() && !flaw.starts_with("Not affected");
        let is_off = matches!(setting.as_deref(), Some("N" | "0" | "never"));
        let finding = match (is_affected, setting.as_deref()) {
            (false, _) => "this processor does not need it".to_owned(),
            (true, Some(setting)) => format!("nx_huge_pages is {setting}"),
            (true, None) => "KVM is not loaded".to_owned(),
        };
        let advice = "load kvm with nx_huge_pages=auto: a guest can stop this processor";
        check("nx-huge-pages", !(is_affected && is_off), finding, advice)
    }

    /// Each process that is moved between control groups otherwise waits for a grace period; with the recovery of KVM's large pages that is tens of
    /// milliseconds.
    fn favordynmods(&self) -> Check {
        let mounts = self.read("proc/mounts").unwrap_or_default();
        let hierarchy = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2"));
        let is_on = hierarchy.is_some_and(|line| line.contains("favordynmods"));
        let is_born = self
            .read("proc/sys/kernel/osrelease")
            .and_then(|release| version(&release));
        // VMMs are born in their control group from this version on, and nobody is moved.
        let is_fine = is_on || is_born.is_some_and(|version| version >= (5, 7));
        let finding = match (is_on, is_fine) {
            (true, _) => "on",
            (false, true) => "off, and not needed: VMMs are born in their control groups",
            (false, false) => "off",
        };
        let advice = "mount -o remount,favordynmods /sys/fs/cgroup: to start a task waits for it otherwise";
        check("favordynmods", is_fine, finding.to_owned(), advice)
    }

    fn user_namespaces(&self) -> Check {
        let clone = self.read("proc/sys/kernel/unprivileged_userns_clone");
        let most = self.read("proc/sys/user/max_user_namespaces");
        let apparmor = self.read("proc/sys/kernel/apparmor_restrict_unprivileged_userns");
        let is_off = clone.as_deref() == Some("0") || most.as_deref() == Some("0") || apparmor.as_deref() == Some("1");
        let finding = if is_off {
            "only root can make them"
        } else {
            "everybody can make them"
        };
        let advice = "sysctl kernel.unprivileged_userns_clone=0, if nothing else needs them: mote makes its own as root, and they bring much of the kernel within every user's reach";
        check("user-namespaces", is_off, finding.to_owned(), advice)
    }

    fn seccomp(&self) -> Check {
        let actions = self.read("proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
        let is_there = actions.split(' ').any(|action| action == "kill_process");
        let finding = if is_there {
            "a system call that is not allowed ends the process"
        } else {
            "missing"
        };
        let advice = "use a kernel with CONFIG_SECCOMP_FILTER, without which no VMM starts";
        let mut found = check("seccomp", is_there, finding.to_owned(), advice);
        if !is_there {
            found.status = CheckStatus::Fail;
        }
        found
    }

    fn landlock(&self) -> Check {
        let modules = self.read("sys/kernel/security/lsm");
        let is_on = modules
            .as_ref()
            .map(|modules| modules.split(',').any(|module| module == "landlock"));
        let finding = match is_on {
            Some(true) => "on",
            Some(false) => "off",
            None => "cannot be seen: securityfs is not mounted, or not for this user",
        };
        let advice = "boot with landlock among lsm=: without it, a VMM that serves directories of the host can open all files that its owner can";
        check("landlock", is_on != Some(false), finding.to_owned(), advice)
    }

    fn root_user(&self) -> Check {
        let status = self.read("proc/self/status").unwrap_or_default();
        let user = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        let is_root = user.and_then(|user| user.split_whitespace().nth(1)) == Some("0");
        let finding = if is_root {
            "VMMs get a user and namespaces of their own"
        } else {
            "without root, a VMM has no user and no namespaces of its own: seccomp and Landlock are all that confine it"
        };
        let advice = "run the host agent as root, which it then is alone";
        check("own-users", is_root, finding.to_owned(), advice)
    }
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of the check `name` on a host with these files.
    fn status(name: &str, files: &[(&str, &str)]) -> CheckStatus {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = security(root.path())
            .into_iter()
            .find(|check| check.name == name)
            .unwrap();
        assert_eq!(found.advice.is_some(), found.status != CheckStatus::Ok, "{found:?}");
        found.status
    }

    fn check(name: &str, path: &str, good: &str, bad: &str) {
        assert_eq!(status(name, &[(path, good)]), CheckStatus::Ok, "{good}");
        assert_ne!(status(name, &[(path, bad)]), CheckStatus::Ok, "{bad}");
    }

    #[test]
    fn what_is_good_and_bad_is_told_apart() {
        check("kernel", "proc/sys/kernel/osrelease", "6.12.1-cloud\n", "5.10.0-9\n");
        check("smt", "sys/devices/system/cpu/smt/active", "0\n", "1\n");
        check("same-page-merging", "sys/kernel/mm/ksm/run", "2\n", "1\n");
        check(
            "swap",
            "proc/swaps",
            "Filename\tType\n",
            "Filename\tType\n/swap file 1 0 -2\n",
        );
        check("user-namespaces", "proc/sys/user/max_user_namespaces", "0\n", "12345\n");
        check(
            "seccomp",
            "proc/sys/kernel/seccomp/actions_avail",
            "kill_process allow",
            "kill_thread allow",
        );
        check(
            "landlock",
            "sys/kernel/security/lsm",
            "capability,landlock",
            "capability",
        );
        check("own-users", "proc/self/status", "Uid:\t0\t0\t0\t0", "Uid:\t0\t7\t7\t7");
        let hierarchy = "cgroup2 /sys/fs/cgroup cgroup2 rw,favordynmods 0 0";
        check(
            "favordynmods",
            "proc/mounts",
            hierarchy,
            "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0",
        );
        let meltdown = "sys/devices/system/cpu/vulnerabilities/meltdown";
        check("processor-flaws", meltdown, "Mitigation: PTI\n", "Vulnerable\n");
    }

    #[test]
    fn large_pages_matter_where_a_processor_has_the_flaw() {
        let setting = |value| ("sys/module/kvm/parameters/nx_huge_pages", value);
        let flaw = |value| ("sys/devices/system/cpu/vulnerabilities/itlb_multihit", value);
        for (value, text, expected) in [
            ("N", "Not affected", CheckStatus::Ok),
            ("N", "KVM: Vulnerable", CheckStatus::Warn),
            ("Y", "KVM: Mitigation: Split huge pages", CheckStatus::Ok),
        ] {
            assert_eq!(status("nx-huge-pages", &[setting(value), flaw(text)]), expected);
        }
    }
}
