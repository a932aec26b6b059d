//! What the guest knows of the directory: nodes, each by the number under which it was told of it.
//!
//! A guest keeps as many nodes as it has memory for, the host opens few of them at a time: the others are found again by their names, and are what they
//! were by device and inode, or else gone.

use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

/// The number of the directory itself (FUSE's `FUSE_ROOT_ID`).
pub(super) const ROOT: u64 = 1;

/// The most nodes that a guest can know of.
pub(super) const NODES_MAX: usize = 1 << 20;

/// The most nodes that are open at a time, beside the directory itself: each keeps an inode of the host in memory.
pub(super) const OPEN_MAX: usize = 4096;

/// The most directories in each other.
const DEPTH_MAX: usize = 2048;

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    const fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

#[derive(Debug)]
struct Node {
    identity: Identity,
    /// How often the guest was told of it.
    found: u64,
    /// Where it was found last.
    directory: u64,
    name: CString,
    descriptor: Option<Arc<OwnedFd>>,
}

/// The nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    root: Arc<OwnedFd>,
    nodes: HashMap<u64, Node>,
    numbers: HashMap<Identity, u64>,
    next: u64,
    /// Those that are open, the first opened first. Some may be forgotten already.
    open: VecDeque<u64>,
    open_max: usize,
}

impl Nodes {
    /// Nothing is known but the directory `root`.
    pub(super) fn of(root: Arc<OwnedFd>) -> Self {
        Self {
            root,
            nodes: HashMap::new(),
            numbers: HashMap::new(),
            next: ROOT + 1,
            open: VecDeque::new(),
            open_max: OPEN_MAX,
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self {
            next: self.next,
            open_max: self.open_max,
            ..Self::of(Arc::clone(&self.root))
        };
    }

    /// A descriptor of the node, which was opened with `O_PATH`.
    pub(super) fn get(&mut self, number: u64) -> Result<Arc<OwnedFd>, Errno> {
        // From the node up to one that is open, and back.
        let mut way = Vec::new();
        let mut at = number;
        let mut descriptor = loop {
            if at == ROOT {
                break Arc::clone(&self.root);
            }
            let node = self.nodes.get(&at).ok_or(Errno::STALE)?;
            if let Some(descriptor) = &node.descriptor {
                break Arc::clone(descriptor);
            }
            if way.len() == DEPTH_MAX {
                return Err(Errno::STALE);
            }
            way.push(at);
            at = node.directory;
        };
        for number in way.into_iter().rev() {
            let node = self.nodes.get(&number).ok_or(Errno::STALE)?;
            let found = open(&descriptor, &node.name).map_err(|_| Errno::STALE)?;
            if Identity::of(&fstat(&found)?) != node.identity {
                return Err(Errno::STALE);
            }
            descriptor = Arc::new(found);
            self.keep(number, &descriptor);
        }
        Ok(descriptor)
    }

    /// The node called `name` in a directory, and its attributes: the guest is told of it once more.
    pub(super) fn find(&mut self, directory: u64, name: &CStr) -> Result<(u64, Stat), Errno> {
        let descriptor = open(&*self.get(directory)?, name)?;
        let stat = fstat(&descriptor)?;
        let identity = Identity::of(&stat);
        let number = match self.numbers.get(&identity) {
            Some(&number) => number,
            None if self.nodes.len() == NODES_MAX => return Err(Errno::NFILE),
            None => {
                let number = self.next;
                self.next += 1;
                self.numbers.insert(identity, number);
                number
            }
        };
        let node = self.nodes.entry(number).or_insert_with(|| Node {
            identity,
            found: 0,
            directory,
            name: name.to_owned(),
            descriptor: None,
        });
        node.found = node.found.saturating_add(1);
        if node.directory != directory || *node.name != *name {
            node.directory = directory;
            node.name = name.to_owned();
        }
        if node.descriptor.is_none() {
            self.keep(number, &Arc::new(descriptor));
        }
        Ok((number, stat))
    }

    /// A node was found `count` times less.
    pub(super) fn forget(&mut self, number: u64, count: u64) {
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        node.found = node.found.saturating_sub(count);
        if node.found == 0
            && let Some(node) = self.nodes.remove(&number)
        {
            self.numbers.remove(&node.identity);
        }
    }

    /// A name has come into another directory, or has changed: what it names is found there from now on.
    pub(super) fn renamed(&mut self, directory: u64, name: &CStr) {
        let identity = (self.get(directory))
            .and_then(|directory| open(&directory, name))
            .and_then(fstat)
            .map(|stat| Identity::of(&stat));
        let number = identity.ok().and_then(|identity| self.numbers.get(&identity));
        if let Some(node) = number.and_then(|number| self.nodes.get_mut(number)) {
            node.directory = directory;
            node.name = name.to_owned();
        }
    }

    /// Keeps the node open, and in its place no longer the one that has been open for longest.
    fn keep(&mut self, number: u64, descriptor: &Arc<OwnedFd>) {
        let Some(node) = self.nodes.get_mut(&number) else {
            return;
        };
        node.descriptor = Some(Arc::clone(descriptor));
        self.open.push_back(number);
        if self.open.len() > self.open_max
            && let Some(oldest) = self.open.pop_front()
            && let Some(node) = self.nodes.get_mut(&oldest)
        {
            node.descriptor = None;
        }
    }
}

/// Opens what has this name in a directory, itself where it is a symbolic link, without a look into it.
pub(super) fn open(directory: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

/// Opens the file or directory behind a descriptor that was opened with `O_PATH`; `descriptors` is `/proc/self/fd`. Nothing else is ever opened: a
/// pipe would make the host wait, and a device is the guest's own.
pub(super) fn reopen(descriptors: BorrowedFd<'_>, descriptor: &OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    match FileType::from_raw_mode(fstat(descriptor)?.st_mode) {
        FileType::RegularFile | FileType::Directory => {}
        FileType::Symlink => return Err(Errno::LOOP),
        _ => return Err(Errno::OPNOTSUPP),
    }
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    openat(descriptors, name(descriptor).as_c_str(), flags, Mode::empty())
}

/// The name of a descriptor in `/proc/self/fd`.
pub(super) fn name(descriptor: &OwnedFd) -> CString {
    use std::os::fd::AsRawFd;
    // A number has no NUL.
    CString::new(descriptor.as_raw_fd().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn nodes(open_max: usize) -> (tempfile::TempDir, Nodes) {
        let directory = tempfile::tempdir().unwrap();
        let root = rustix::fs::open(directory.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let mut nodes = Nodes::of(Arc::new(root));
        nodes.open_max = open_max;
        (directory, nodes)
    }

    #[test]
    fn few_nodes_are_open_and_all_are_found_again() {
        let (directory, mut nodes) = nodes(2);
        fs::create_dir_all(directory.path().join("a/b/c")).unwrap();
        let mut numbers = vec![ROOT];
        for name in [c"a", c"b", c"c"] {
            numbers.push(nodes.find(*numbers.last().unwrap(), name).unwrap().0);
        }
        for _ in 0..3 {
            for &number in &numbers[1..] {
                let found = fstat(nodes.get(number).unwrap()).unwrap();
                assert_eq!(Identity::of(&found), nodes.nodes[&number].identity);
            }
            assert!(nodes.nodes.values().filter(|node| node.descriptor.is_some()).count() <= 2);
            assert!(nodes.open.len() <= 2);
        }
    }

    #[test]
    fn another_file_of_the_same_name_is_not_the_node() {
        let (directory, mut nodes) = nodes(1);
        for name in ["one", "other", "third"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        let (one, _) = nodes.find(ROOT, c"one").unwrap();
        nodes.find(ROOT, c"other").unwrap();
        fs::rename(directory.path().join("third"), directory.path().join("one")).unwrap();
        assert_eq!(nodes.get(one).unwrap_err(), Errno::STALE);
    }

    #[test]
    fn a_renamed_node_is_found_by_its_new_name() {
        let (directory, mut nodes) = nodes(1);
        fs::write(directory.path().join("one"), "").unwrap();
        fs::write(directory.path().join("other"), "").unwrap();
        let (one, _) = nodes.find(ROOT, c"one").unwrap();
        fs::rename(directory.path().join("one"), directory.path().join("new")).unwrap();
        nodes.renamed(ROOT, c"new");
        nodes.find(ROOT, c"other").unwrap();
        assert!(nodes.get(one).is_ok());
    }

    #[test]
    fn a_node_is_known_until_it_is_forgotten_as_often_as_found() {
        let (directory, mut nodes) = nodes(8);
        fs::write(directory.path().join("file"), "").unwrap();
        let (first, _) = nodes.find(ROOT, c"file").unwrap();
        assert_eq!(nodes.find(ROOT, c"file").unwrap().0, first);
        nodes.forget(first, 1);
        assert!(nodes.get(first).is_ok());
        nodes.forget(first, u64::MAX);
        assert_eq!(nodes.get(first).unwrap_err(), Errno::STALE);
        nodes.forget(ROOT, 1);
        assert!(nodes.get(ROOT).is_ok());
        assert!(nodes.numbers.is_empty());
        assert_ne!(nodes.find(ROOT, c"file").unwrap().0, first);
    }

    #[test]
    fn a_pipe_and_a_link_are_found_and_not_opened() {
        let (directory, mut nodes) = nodes(8);
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, directory.path().join("pipe"), Mode::RWXU).unwrap();
        let descriptors = fs::File::open("/proc/self/fd").unwrap();
        let descriptors = std::os::fd::AsFd::as_fd(&descriptors);
        for (name, expected) in [(c"link", Errno::LOOP), (c"pipe", Errno::OPNOTSUPP)] {
            let (number, _) = nodes.find(ROOT, name).unwrap();
            let node = nodes.get(number).unwrap();
            let refused = reopen(descriptors, &node, OFlags::RDONLY).unwrap_err();
            assert_eq!(refused, expected);
        }
    }
}
