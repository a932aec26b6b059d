//! The files that tell a container its own name: they lie in memory and are mounted over those of the image, as in Docker.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::path::Path;

use protocol::guest::Network;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::layer::FILES;
use super::report::Place;
use crate::failure::{Attempt, StepError};
use crate::mount::attach;

/// Names that need no server and that every host has (hosts(5)).
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// The files, without what only the host knows.
#[derive(Debug)]
pub struct Names {
    hostname: Named,
    hosts: Named,
    resolver: Named,
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
        let [hostname, hosts, resolver] = FILES;
        Ok(Self {
            hostname: Named::prepare(hostname, "")?,
            hosts: Named::prepare(hosts, HOSTS)?,
            resolver: Named::prepare(resolver, "")?,
        })
    }

    /// Completes the files and puts them into the `/etc` of the root that this process has now. `hosts` are further lines of one of them.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn publish(self, place: &Place, hosts: &[(IpAddr, String)]) -> Result<(), StepError> {
        let [hostname_file, hosts_file, resolver_file] = FILES;
        self.hostname.publish(hostname_file, &format!("{}\n", place.hostname))?;
        self.hosts.publish(hosts_file, &host_lines(place, hosts))?;
        match &place.resolver {
            Some(text) => self.resolver.publish(resolver_file, text),
            None => Ok(()),
        }
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

/// The lines of `/etc/hosts` by which a host knows itself, and those that were asked for.
fn host_lines(place: &Place, hosts: &[(IpAddr, String)]) -> String {
    let own = place.address.unwrap_or(Ipv4Addr::new(127, 0, 1, 1));
    let mut lines = format!("{own}\t{}\n", place.hostname);
    if let Some(address) = place.address_ipv6 {
        lines.push_str(&format!("{address}\t{}\n", place.hostname));
    }
    for (address, name) in hosts {
        lines.push_str(&format!("{address}\t{name}\n"));
    }
    lines
}

/// The text of a `/etc/resolv.conf` (resolv.conf(5)).
pub fn resolver(network: &Network) -> String {
    let mut text = String::new();
    for server in &network.name_servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    for (word, values) in [
        ("search", &network.search_domains),
        ("options", &network.resolver_options),
    ] {
        if !values.is_empty() {
            text.push_str(&format!("{word} {}\n", values.join(" ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_knows_itself() {
        let mut place = Place {
            hostname: "web".to_owned(),
            ..Place::default()
        };
        assert_eq!(host_lines(&place, &[]), "127.0.1.1\tweb\n");
        place.address = Some(Ipv4Addr::new(10, 0, 0, 2));
        let more = [("fd00::1".parse().unwrap(), "db".to_owned())];
        assert_eq!(host_lines(&place, &more), "10.0.0.2\tweb\nfd00::1\tdb\n");
        place.address_ipv6 = Some("fd00::2".parse().unwrap());
        assert_eq!(host_lines(&place, &[]), "10.0.0.2\tweb\nfd00::2\tweb\n");
        assert!(HOSTS.lines().all(|line| line.contains('\t')) && HOSTS.ends_with('\n'));
    }

    #[test]
    fn a_resolver_is_told_servers_domains_and_options() {
        let network = Network {
            mac: [2; 6],
            address: Ipv4Addr::LOCALHOST,
            prefix: 24,
            gateway: Ipv4Addr::LOCALHOST,
            ipv6: None,
            mtu: 1500,
            name_servers: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            search_domains: vec!["a.b".to_owned(), "c".to_owned()],
            resolver_options: Vec::new(),
        };
        let expected = "nameserver 10.0.0.1\nnameserver fd00::1\nsearch a.b c\n";
        assert_eq!(resolver(&network), expected);
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
