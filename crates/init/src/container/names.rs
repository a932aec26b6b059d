//! The files that tell a container its own name: they lie in memory and are mounted over those of the image, as in Docker.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::layer::FILES;
use super::stage::attach;
use crate::failure::{Attempt, StepError};

/// Names that need no server and that every host has (hosts(5)).
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// The files, without the name.
#[derive(Debug)]
pub struct Names {
    hostname: Named,
    hosts: Named,
}

/// A file, and a mount of it that is attached nowhere yet.
#[derive(Debug)]
struct Named {
    file: File,
    mount: OwnedFd,
}

impl Names {
    /// Makes the files in the root that this process has.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn prepare() -> Result<Self, StepError> {
        let [hostname, hosts] = FILES;
        Ok(Self {
            hostname: Named::prepare(hostname, "")?,
            hosts: Named::prepare(hosts, HOSTS)?,
        })
    }

    /// Adds the name and puts the files into the `/etc` of the root that this process has now.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn publish(self, hostname: &str) -> Result<(), StepError> {
        let [hostname_file, hosts_file] = FILES;
        self.hostname.publish(hostname_file, &format!("{hostname}\n"))?;
        self.hosts.publish(hosts_file, &own_line(hostname))
    }
}

impl Named {
    fn prepare(name: &str, text: &str) -> Result<Self, StepError> {
        let path = Path::new("/").join(name);
        let prepared = || -> io::Result<Self> {
            let mut file = File::create_new(&path)?;
            file.write_all(text.as_bytes())?;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let mount = open_tree(CWD, &path, flags)?;
            Ok(Self { file, mount })
        };
        prepared().attempting(|| format!("make {}", path.display()))
    }

    fn publish(mut self, name: &str, text: &str) -> Result<(), StepError> {
        let path = format!("/etc/{name}");
        let mut published = || -> io::Result<()> {
            self.file.write_all(text.as_bytes())?;
            match attach(&self.mount, &path) {
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    make_place(Path::new(&path))?;
                    Ok(attach(&self.mount, &path)?)
                }
                other => Ok(other?),
            }
        };
        published().attempting(|| format!("write {path}"))
    }
}

/// Makes an empty file in the place of whatever is not one: a link that leads nowhere is replaced.
fn make_place(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::create_new(path).map(drop),
    }
}

/// The line of `/etc/hosts` by which a host knows itself.
fn own_line(hostname: &str) -> String {
    format!("127.0.1.1\t{hostname}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_knows_itself() {
        assert_eq!(own_line("web"), "127.0.1.1\tweb\n");
        assert!(HOSTS.lines().all(|line| line.contains('\t')) && HOSTS.ends_with('\n'));
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let [target, link] = ["target", "link"].map(|name| directory.path().join(name));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        make_place(&link).unwrap();
        assert!(link.symlink_metadata().unwrap().is_file());
        assert!(!target.exists());
    }
}
