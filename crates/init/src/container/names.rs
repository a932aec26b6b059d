//! The files that tell a container its own name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::failure::{Attempt, StepError};

/// Writes `/etc/hostname` and `/etc/hosts`, whatever the image has there, in the root that this process has.
///
/// # Errors
/// The first step that failed.
pub fn write(hostname: &str) -> Result<(), StepError> {
    fs::create_dir_all("/etc").attempting(|| "create /etc")?;
    for (path, text) in [
        ("/etc/hostname", format!("{hostname}\n")),
        ("/etc/hosts", hosts(hostname)),
    ] {
        replace(Path::new(path), &text).attempting(|| format!("write {path}"))?;
    }
    Ok(())
}

/// Puts a new file in the place of whatever was there: a link is not followed, a fifo not waited for.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::options()
            .write(true)
            .create_new(true)
            .open(path)?
            .write_all(text.as_bytes()),
    }
}

/// The names that need no server (hosts(5)).
fn hosts(hostname: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost\n127.0.1.1\t{hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\nff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_knows_itself() {
        assert!(hosts("web").contains("127.0.1.1\tweb\n"));
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let [target, link] = ["target", "link"].map(|name| directory.path().join(name));
        fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        replace(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
        assert_eq!(fs::read_to_string(&link).unwrap(), "new");
    }
}
