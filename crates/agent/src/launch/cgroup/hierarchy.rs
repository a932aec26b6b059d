//! Cgroups in the kernel's hierarchy: a parent for each host agent, and in it one for each microVM.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::vmm::{SLOTS, VCPUS_MAX, standing};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::files::{make, remove, write};
use super::{Cgroup, CgroupError, Cgroups, OccupiedCgroup};
use crate::sizing::CpuLimit;

/// What the name of every parent of our cgroups begins with; of the usual host agent it is the whole name.
const PARENT: &str = "mote";

/// The longest name of a parent: Linux takes 255 bytes.
const PARENT_LEN_MAX: usize = 200;

/// The most threads of a VMM: its first, one for each vCPU, one for each directory of the host that it serves, and the one in which KVM, on some CPUs,
/// takes large pages apart.
const THREADS_MAX: usize = 1 + VCPUS_MAX as usize + (SLOTS - standing::FIRST_FREE as usize) + 1;

/// The controllers that a microVM needs.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The kernel's cgroup v2 hierarchy.
#[derive(Debug)]
pub struct CgroupV2 {
    root: PathBuf,
    parent: PathBuf,
    // Shared by all tasks that start: the parent is made by the first and stays open for the others.
    opened: Mutex<Option<Arc<OwnedFd>>>,
}

impl CgroupV2 {
    /// The hierarchy that is mounted at `root`. Host agents with different `runtime` directories have different cgroups in it.
    #[must_use]
    pub fn new(root: PathBuf, runtime: &Path) -> Self {
        let parent = root.join(parent_name(runtime));
        Self {
            root,
            parent,
            opened: Mutex::new(None),
        }
    }

    /// The parent of all our cgroups; checked, made and opened by whoever comes first.
    fn parent(&self) -> Result<Arc<OwnedFd>, CgroupError> {
        // The lock guards one value that is set whole.
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parent) = &*opened {
            return Ok(parent.clone());
        }
        self.check_controllers()?;
        let enable = CONTROLLERS.map(|name| format!("+{name}")).join(" ");
        make(&self.parent)?;
        match write(&self.root.join("cgroup.subtree_control"), &enable) {
            Err(CgroupError::Io { source, .. }) if source.kind() == io::ErrorKind::ResourceBusy => {
                return Err(CgroupError::HasProcesses {
                    path: self.root.clone(),
                });
            }
            other => other?,
        }
        write(&self.parent.join("cgroup.subtree_control"), &enable)?;
        let file = File::open(&self.parent).map_err(|source| CgroupError::Io {
            attempted: "open",
            path: self.parent.clone(),
            source,
        })?;
        let parent = Arc::new(OwnedFd::from(file));
        *opened = Some(parent.clone());
        Ok(parent)
    }

    fn check_controllers(&self) -> Result<(), CgroupError> {
        let Ok(available) = fs::read_to_string(self.root.join("cgroup.controllers")) else {
            return Err(CgroupError::NotMounted {
                root: self.root.clone(),
            });
        };
        for controller in CONTROLLERS {
            if !available.split_whitespace().any(|name| name == controller) {
                return Err(CgroupError::Controller {
                    controller,
                    root: self.root.clone(),
                });
            }
        }
        Ok(())
    }
}

/// `/run/mote` is `mote`, `/srv/a/run` is `mote-srv-a-run`.
pub(super) fn parent_name(runtime: &Path) -> String {
    let text = runtime.to_string_lossy();
    let words: Vec<&str> = text.split('/').filter(|word| !word.is_empty()).collect();
    if words == ["run", PARENT] {
        return PARENT.to_owned();
    }
    let joined = words.join("-");
    // The end of a path tells more than its beginning.
    let surplus = joined.chars().count().saturating_sub(PARENT_LEN_MAX / 4);
    format!("{PARENT}-{}", joined.chars().skip(surplus).collect::<String>())
}

impl Cgroups for CgroupV2 {
    fn check(&self) -> Result<(), CgroupError> {
        self.parent().map(drop)
    }

    fn create(&self, id: &str, memory_bytes_max: u64) -> Result<Box<dyn Cgroup>, CgroupError> {
        let parent = self.parent()?;
        let path = self.parent.join(id);
        match rustix::fs::mkdirat(&*parent, id, Mode::from_raw_mode(0o755)) {
            Ok(()) => {}
            Err(errno) => {
                return Err(CgroupError::Io {
                    attempted: "make the cgroup",
                    path,
                    source: errno.into(),
                });
            }
        }
        let cgroup = MicrovmCgroup {
            parent,
            path,
            id: id.to_owned(),
            is_there: true,
        };
        cgroup.limit_memory(memory_bytes_max)?;
        cgroup.write("pids.max", &THREADS_MAX.to_string())?;
        Ok(Box::new(cgroup))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.parent.join(id)
    }

    fn find(&self, id: &str) -> Result<Option<OccupiedCgroup>, CgroupError> {
        let path = self.path(id);
        let processes = match fs::read_to_string(path.join("cgroup.procs")) {
            Ok(text) => text.lines().filter_map(|line| line.trim().parse().ok()).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
            Err(source) => {
                return Err(CgroupError::Io {
                    attempted: "read the processes of",
                    path,
                    source,
                });
            }
        };
        if processes.is_empty() {
            remove(&path)?;
            return Ok(None);
        }
        let cgroup = MicrovmCgroup {
            parent: self.parent()?,
            path,
            id: id.to_owned(),
            is_there: true,
        };
        Ok(Some((Box::new(cgroup), processes)))
    }

    fn remove_leftovers(&self, kept: &HashSet<String>) -> Result<usize, CgroupError> {
        let entries = match fs::read_dir(&self.parent) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(source) => {
                return Err(CgroupError::Io {
                    attempted: "list",
                    path: self.parent.clone(),
                    source,
                });
            }
        };
        let (mut removed, mut is_empty) = (0, true);
        for entry in entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        {
            if kept.contains(entry.file_name().to_string_lossy().as_ref()) {
                is_empty = false;
                continue;
            }
            remove(&entry.path())?;
            removed += 1;
        }
        if is_empty {
            *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = None;
            remove(&self.parent)?;
        }
        Ok(removed)
    }
}

struct MicrovmCgroup {
    // Files are opened from here: two steps of a path instead of six.
    parent: Arc<OwnedFd>,
    path: PathBuf,
    id: String,
    is_there: bool,
}

impl MicrovmCgroup {
    fn write(&self, file: &str, text: &str) -> Result<(), CgroupError> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&*self.parent, format!("{}/{file}", self.id), flags, Mode::empty());
        let written = opened.and_then(|opened| rustix::io::write(opened, text.as_bytes()));
        written.map(drop).map_err(|errno: Errno| CgroupError::Io {
            attempted: "write to",
            path: self.path.join(file),
            source: errno.into(),
        })
    }
}

impl Cgroup for MicrovmCgroup {
    fn path(&self) -> &Path {
        &self.path
    }

    fn directory(&self) -> Option<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&*self.parent, &*self.id, flags, Mode::empty()).ok()
    }

    fn enter(&self, process: u32) -> Result<(), CgroupError> {
        self.write("cgroup.procs", &process.to_string())
    }

    fn limit_memory(&self, bytes_max: u64) -> Result<(), CgroupError> {
        self.write("memory.max", &bytes_max.to_string())
    }

    fn limit_cpu(&self, limit: CpuLimit) -> Result<(), CgroupError> {
        let text = format!("{} {}", limit.quota_microseconds, limit.period_microseconds);
        self.write("cpu.max", &text)
    }

    fn remove(&mut self) -> Result<(), CgroupError> {
        self.is_there = false;
        remove(&self.path)
    }

    fn leave(&mut self) {
        self.is_there = false;
    }
}

impl Drop for MicrovmCgroup {
    fn drop(&mut self) {
        if self.is_there
            && let Err(error) = remove(&self.path)
        {
            tracing::error!(path = %self.path.display(), "a cgroup is left over: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(controllers: Option<&str>) -> Result<(), String> {
        let root = tempfile::tempdir().unwrap();
        if let Some(controllers) = controllers {
            fs::write(root.path().join("cgroup.controllers"), controllers).unwrap();
        }
        CgroupV2::new(root.path().to_owned(), Path::new("/run/mote"))
            .check_controllers()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_host_without_cgroup_v2_is_told_so() {
        assert!(check(None).unwrap_err().contains("cgroup v2 is not mounted"));
    }

    #[test]
    fn a_missing_controller_is_named() {
        assert!(check(Some("cpu pids\n")).unwrap_err().contains("no memory controller"));
        assert_eq!(check(Some("cpuset cpu io memory pids\n")), Ok(()));
    }

    #[test]
    fn host_agents_do_not_share_cgroups() {
        assert_eq!(parent_name(Path::new("/run/mote")), "mote");
        assert_eq!(parent_name(Path::new("/srv/a/run/")), "mote-srv-a-run");
        let long = format!("/{}", "ä".repeat(PARENT_LEN_MAX));
        assert!(parent_name(Path::new(&long)).len() <= PARENT_LEN_MAX);
    }

    #[test]
    fn a_cgroup_whose_processes_are_gone_goes_when_it_is_looked_for() {
        let root = tempfile::tempdir().unwrap();
        let cgroups = CgroupV2::new(root.path().to_owned(), Path::new("/run/mote"));
        let empty = cgroups.parent.join("1.1");
        fs::create_dir_all(&empty).unwrap();
        assert!(cgroups.find("1.1").unwrap().is_none());
        assert!(!empty.exists());
        assert!(cgroups.find("1.1").unwrap().is_none());
    }

    #[test]
    fn no_cgroups_means_no_leftovers() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(
            CgroupV2::new(root.path().to_owned(), Path::new("/run/mote"))
                .remove_leftovers(&HashSet::new())
                .unwrap(),
            0
        );
    }
}
