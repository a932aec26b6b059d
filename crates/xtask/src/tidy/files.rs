//! What every file keeps to: a purpose, a length, and no unsafe code but where it is named.

use super::source::Source;

/// Lines of a file.
const LINES_MAX: usize = 400;

/// Words that say nothing of what a file holds.
const EMPTY_NAMES: [&str; 3] = ["utils", "common", "helpers"];

/// The files that may hold `unsafe` because they talk to the kernel.
const UNSAFE_FILES: &[&str] = &[
    "crates/agent/src/launch/spawn.rs",
    "crates/agent/src/launch/user_namespace.rs",
    "crates/devices/src/block/backend/vectored.rs",
    "crates/devices/src/net/vectored.rs",
    "crates/devices/tests/hostile/memory.rs",
    "crates/init/src/sys/bpf.rs",
    "crates/init/src/sys/doorbell.rs",
    "crates/init/src/sys/ioctl.rs",
    "crates/init/src/sys/process.rs",
    "crates/init/src/sys/signal.rs",
    "crates/init/src/sys/vsock.rs",
    "crates/machine/src/bin/machine_init/kernel.rs",
    "crates/machine/src/doctor/kvm.rs",
    "crates/protocol/src/attachments.rs",
    "crates/protocol/src/jail.rs",
    "crates/vmm/src/copying.rs",
    "crates/vmm/src/jail/landlock.rs",
    "crates/vmm/src/jail/system.rs",
    "crates/vmm/src/kick.rs",
    "crates/vmm/src/main.rs",
    "crates/vmm/src/memory.rs",
    "crates/vmm/src/slice.rs",
    "crates/vmm/src/socket.rs",
    "crates/vmm/src/tap.rs",
    "crates/vmm/src/x86_64/state.rs",
    "tests/src/bin/kernel_check/system.rs",
    "tests/src/injection.rs",
];

/// The rules that the files break.
pub fn check(sources: &[Source]) -> Vec<String> {
    sources.iter().flat_map(broken).collect()
}

fn broken(source: &Source) -> Vec<String> {
    let path = &source.path;
    let mut broken = Vec::new();
    if !source.text.starts_with("//!") && !source.text.starts_with("#!") {
        broken.push(format!("{path} does not start with //! and what it is"));
    }
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        broken.push(format!("{path} has {lines} lines, more than {LINES_MAX}"));
    }
    let stem = path
        .trim_end_matches("/mod.rs")
        .rsplit('/')
        .next()
        .unwrap_or(path)
        .trim_end_matches(".rs");
    if EMPTY_NAMES.contains(&stem) {
        broken.push(format!("{path} has a name that says nothing"));
    }
    if !UNSAFE_FILES.contains(&path.as_str()) && source.product_lines().any(is_unsafe) {
        broken.push(format!("{path} holds unsafe code and is not one of the files that may"));
    }
    broken
}

fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["{", "fn", "impl", "extern"]
        .iter()
        .any(|what| code.contains(&["unsafe", what].join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str) -> usize {
        broken(&Source {
            path: path.to_owned(),
            text: text.to_owned(),
        })
        .len()
    }

    #[test]
    fn a_file_says_what_it_is() {
        assert_eq!(check("crates/a/src/b.rs", "//! Something.\n"), 0);
        assert_eq!(check("crates/a/src/b.rs", "fn main() {}\n"), 1);
    }

    #[test]
    fn a_long_file_an_empty_name_and_stray_unsafe_are_found() {
        assert_eq!(check("crates/a/src/b.rs", &"//!\n".repeat(401)), 1);
        assert_eq!(check("crates/a/src/utils.rs", "//! x\n"), 1);
        assert_eq!(check("crates/a/src/common/mod.rs", "//! x\n"), 1);
        assert_eq!(check("crates/a/src/b.rs", "//! x\nlet a = unsafe { b() };\n"), 1);
        assert_eq!(check("crates/a/src/b.rs", "//! x\n// unsafe { b() }\n"), 0);
    }
}
