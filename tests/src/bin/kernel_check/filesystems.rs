//! File systems: those without a disk are mounted and used, those with one must be known.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::path::Path;

use crate::{Outcome, Report, system};

struct Mount {
    kind: &'static CStr,
    at: &'static CStr,
    data: &'static CStr,
    /// A path below `at` that shows the right thing is there.
    shows: &'static str,
}

/// In the order in which they build on each other; the later checks use them.
const MOUNTS: &[Mount] = &[
    Mount {
        kind: c"proc",
        at: c"/proc",
        data: c"",
        shows: "self/status",
    },
    Mount {
        kind: c"sysfs",
        at: c"/sys",
        data: c"",
        shows: "devices/system/cpu",
    },
    Mount {
        kind: c"devtmpfs",
        at: c"/dev",
        data: c"mode=0755",
        shows: "null",
    },
    Mount {
        kind: c"devpts",
        at: c"/dev/pts",
        data: c"newinstance,ptmxmode=0666",
        shows: "ptmx",
    },
    Mount {
        kind: c"tmpfs",
        at: c"/dev/shm",
        data: c"size=1m",
        shows: "",
    },
    Mount {
        kind: c"mqueue",
        at: c"/dev/mqueue",
        data: c"",
        shows: "",
    },
    Mount {
        kind: c"cgroup2",
        at: c"/sys/fs/cgroup",
        data: c"",
        shows: "cgroup.controllers",
    },
    Mount {
        kind: c"bpf",
        at: c"/sys/fs/bpf",
        data: c"",
        shows: "",
    },
    Mount {
        kind: c"tmpfs",
        at: c"/run",
        data: c"mode=0755",
        shows: "",
    },
];

/// File systems that need a disk or a server.
const KNOWN: &[&str] = &["erofs", "ext4", "fuse", "overlay"];

/// Files that say something which the kernel could have been built without.
const PROC_FILES: &[&str] = &[
    "/proc/self/cgroup",
    "/proc/self/cpuset",
    "/proc/self/io",
    "/proc/self/ns/time",
    "/proc/self/pagemap",
    "/proc/self/smaps",
    "/proc/self/task/1/children",
    "/proc/sys/fs/mqueue/msg_max",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/seccomp/actions_avail",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sysvipc/shm",
    "/proc/vmstat",
];

pub fn check(report: &mut Report) -> io::Result<()> {
    for mount in MOUNTS {
        let name = format!(
            "mount {} on {}",
            mount.kind.to_string_lossy(),
            mount.at.to_string_lossy()
        );
        report.record(&name, mounted(mount))?;
    }
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    for kind in KNOWN {
        let listed = known.lines().any(|line| line.split_whitespace().last() == Some(kind));
        report.record(
            &format!("file system {kind}"),
            listed.then_some(()).ok_or_else(|| "not listed".to_owned()),
        )?;
    }
    for path in PROC_FILES {
        report.record(
            path,
            fs::symlink_metadata(path).map(drop).map_err(|error| error.to_string()),
        )?;
    }
    report.record(
        "tmpfs attributes",
        tmpfs_attributes().map_err(|error| error.to_string()),
    )?;
    report.record("overlay over tmpfs", overlay().map_err(|error| error.to_string()))?;
    report.record("script as program", script())
}

fn mounted(mount: &Mount) -> Outcome {
    let at = mount.at.to_string_lossy();
    fs::create_dir_all(&*at).map_err(|error| error.to_string())?;
    system::mount(mount.kind, mount.at, mount.kind, mount.data).map_err(|error| error.to_string())?;
    let shown = Path::new(&*at).join(mount.shows);
    if shown.exists() {
        Ok(())
    } else {
        Err(format!("no {}", shown.display()))
    }
}

/// Capabilities of files, ACLs and the user's own attributes, which images carry and `cp -a` keeps.
fn tmpfs_attributes() -> io::Result<()> {
    /// An access ACL of version 2: owner rw, user 1 r, group none, mask r, others none.
    const ACL: &[u8] = &[
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 1, 0, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255, 16, 0, 4,
        0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    /// CAP_NET_BIND_SERVICE, effective, of revision 2.
    const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    fs::write("/run/attributes", "")?;
    system::set_attribute(c"/run/attributes", c"user.mote", b"value")?;
    system::set_attribute(c"/run/attributes", c"security.capability", CAPABILITY)?;
    system::set_attribute(c"/run/attributes", c"system.posix_acl_access", ACL)
}

fn overlay() -> io::Result<()> {
    for directory in ["lower", "upper", "work", "merged"] {
        fs::create_dir(Path::new("/run").join(directory))?;
    }
    fs::write("/run/lower/file", "lower")?;
    let data = c"lowerdir=/run/lower,upperdir=/run/upper,workdir=/run/work";
    system::mount(c"overlay", c"/run/merged", c"overlay", data)?;
    fs::remove_file("/run/merged/file")?;
    fs::write("/run/merged/other", "upper")?;
    if Path::new("/run/lower/file").exists() && Path::new("/run/upper/other").exists() {
        return Ok(());
    }
    Err(io::Error::other("a change went to the wrong layer"))
}

/// Starts a script whose interpreter is this program: it answers with status 0 to its own word alone.
fn script() -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    let path = "/run/script";
    let text = format!("#!/init {}\n", crate::containers::UNSHARE_USER);
    fs::write(path, text).map_err(|error| error.to_string())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    let status = std::process::Command::new(path)
        .status()
        .map_err(|error| error.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err(status.to_string())
    }
}
