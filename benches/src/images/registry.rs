//! Debian's docker-registry on loopback.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::samples::Image;
use crate::bundle::succeed;

/// A registry that ends with the value.
pub struct Registry {
    server: Child,
    address: String,
}

impl Registry {
    /// Starts an empty one whose files are below `directory`.
    pub fn start(directory: &Path) -> Result<Self> {
        let data = directory.join("registry");
        let config = directory.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}, formatter: text}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: 127.0.0.1:0}}\n",
            data.display()
        );
        fs::write(&config, text).context("cannot write the registry's configuration")?;
        let mut server = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run docker-registry: run `make setup`")?;
        let log = server.stderr.take().context("the registry has no log")?;
        let mut lines = BufReader::new(log).lines().map_while(Result::ok);
        let Some(line) = lines.find(|line| line.contains("listening on ")) else {
            bail!("docker-registry does not start");
        };
        let address = line.split("listening on ").nth(1).unwrap_or_default();
        let address = address.split(['"', ',', ' ']).next().unwrap_or_default().to_owned();
        // The log's pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { server, address })
    }

    /// Pushes an image. Answers the name to pull it by.
    pub fn push(&self, image: &Image) -> Result<String> {
        let name = image
            .layout
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("image");
        let reference = format!("docker://{}/{name}:latest", self.address);
        let copy = [
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            &image.source(),
            &reference,
        ];
        succeed(Command::new("skopeo").args(copy))?;
        Ok(reference)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
