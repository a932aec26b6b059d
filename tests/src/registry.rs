//! Debian's docker-registry on loopback, with a password.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::command::ran;

/// The user that the registry knows.
pub const USER: &str = "tester";

/// That user's password.
pub const PASSWORD: &str = "correct horse";

/// A registry that ends when dropped.
pub struct Registry {
    directory: TempDir,
    server: Child,
    port: u16,
}

impl Registry {
    /// Starts an empty registry.
    ///
    /// # Errors
    /// Where docker-registry or htpasswd is missing or does not come up.
    pub fn start() -> Result<Self> {
        let directory = TempDir::new().context("cannot make a directory for the registry")?;
        let passwords = directory.path().join("htpasswd");
        let entry = ran(Command::new("htpasswd").args(["-nbB", USER, PASSWORD]), b"")?;
        fs::write(&passwords, entry.stdout).context("cannot write the registry's passwords")?;
        let config = directory.path().join("config.yml");
        fs::write(&config, config_text(directory.path())).context("cannot write the registry's configuration")?;
        let mut server = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run docker-registry; `make setup` installs it")?;
        let port = listening_port(&mut server)?;
        Ok(Self {
            directory,
            server,
            port,
        })
    }

    /// The name of an image in this registry.
    #[must_use]
    pub fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Puts the only image of an OCI archive into the registry.
    ///
    /// # Errors
    /// Where skopeo fails.
    pub fn push(&self, archive: &Path, name: &str) -> Result<()> {
        let pushed = ran(
            Command::new("skopeo")
                .args(["copy", "--quiet", "--dest-tls-verify=false", "--dest-creds"])
                .arg(format!("{USER}:{PASSWORD}"))
                .arg(format!("oci-archive:{}", archive.display()))
                .arg(format!("docker://{}", self.image(name))),
            b"",
        )?;
        if pushed.code != 0 {
            bail!("cannot push {}: {pushed}", archive.display());
        }
        Ok(())
    }

    /// Changes one byte in the middle of the largest blob.
    ///
    /// # Errors
    /// Where there is no blob or it cannot be written.
    pub fn corrupt_largest_blob(&self) -> Result<()> {
        let blobs = crate::host::listing(&self.directory.path().join("data"))?;
        let (path, len) = blobs
            .into_iter()
            .max_by_key(|(_, len)| *len)
            .context("the registry has no blob")?;
        let mut bytes = fs::read(&path).context("cannot read a blob")?;
        bytes[usize::try_from(len)? / 2] ^= 0xff;
        fs::write(&path, bytes).context("cannot write a blob")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The registry logs where it listens, at a port that was free; the rest of its log is read away by a thread, so that it never blocks on it.
fn listening_port(server: &mut Child) -> Result<u16> {
    let log = server.stderr.take().context("docker-registry has no standard error")?;
    let mut lines = BufReader::new(log).lines();
    for line in lines.by_ref() {
        let line = line.context("cannot read the registry's log")?;
        if let Some((_, port)) = line.split_once("listening on 127.0.0.1:") {
            std::thread::spawn(move || lines.for_each(drop));
            let digits = port.split(|character: char| !character.is_ascii_digit()).next();
            return digits
                .unwrap_or_default()
                .parse()
                .with_context(|| format!("the registry's log: {line}"));
        }
    }
    bail!("docker-registry did not come up");
}

fn config_text(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "version: 0.1\n\
         log: {{level: info}}\n\
         storage: {{filesystem: {{rootdirectory: {directory}/data}}}}\n\
         http: {{addr: '127.0.0.1:0'}}\n\
         auth: {{htpasswd: {{realm: tests, path: {directory}/htpasswd}}}}\n"
    )
}
