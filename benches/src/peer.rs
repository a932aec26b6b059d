//! The peer that starts are compared with: crun, a container without a microVM, on the same image.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The peer's name in reports.
pub const NAME: &str = "crun run";

/// A bundle of the busybox image that says hello.
pub struct Peer {
    bundle: PathBuf,
}

impl Peer {
    /// Unpacks the image in `archive` below `directory`.
    pub fn prepare(archive: &Path, directory: &Path) -> Result<Self> {
        let layout = directory.join("layout");
        let bundle = directory.join("bundle");
        let from = format!("oci-archive:{}", archive.display());
        succeed(Command::new("skopeo").args(["copy", "--quiet", &from, &format!("oci:{}:image", layout.display())]))?;
        succeed(
            Command::new("umoci")
                .args(["unpack", "--image", &format!("{}:image", layout.display())])
                .arg(&bundle),
        )?;
        let path = bundle.join("config.json");
        let text = std::fs::read(&path).context("cannot read the bundle's configuration")?;
        let mut config: serde_json::Value =
            serde_json::from_slice(&text).context("the bundle's configuration is no JSON")?;
        config["process"]["args"] = serde_json::json!(["echo", "hello"]);
        config["process"]["terminal"] = serde_json::json!(false);
        std::fs::write(&path, config.to_string()).context("cannot write the bundle's configuration")?;
        Ok(Self { bundle })
    }

    /// Runs one container to its end; nanoseconds from the command's start.
    pub fn run(&self, name: &str) -> Result<u64> {
        let begun = Instant::now();
        succeed(
            Command::new("crun")
                .args(["run", "--bundle"])
                .arg(&self.bundle)
                .arg(name),
        )?;
        u64::try_from(begun.elapsed().as_nanos()).context("a run took centuries")
    }
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
