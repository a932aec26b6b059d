//! The image as an OCI runtime takes it: a directory with a file system and a configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A bundle, ready to be run.
pub struct Bundle(PathBuf);

impl Bundle {
    /// Unpacks the image in `archive` below `directory`; its process will be `arguments`.
    pub fn prepare(archive: &Path, directory: &Path, arguments: &[&str]) -> Result<Self> {
        let (layout, bundle) = (directory.join("layout"), directory.join("bundle"));
        let from = format!("oci-archive:{}", archive.display());
        succeed(Command::new("skopeo").args(["copy", "--quiet", &from, &format!("oci:{}:image", layout.display())]))?;
        let image = format!("{}:image", layout.display());
        succeed(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle))?;
        let path = bundle.join("config.json");
        let text = std::fs::read(&path).context("cannot read the bundle's configuration")?;
        let mut config: serde_json::Value =
            serde_json::from_slice(&text).context("the bundle's configuration is no JSON")?;
        config["process"]["args"] = serde_json::json!(arguments);
        config["process"]["terminal"] = serde_json::json!(false);
        // The sixth namespace that containers have: as Docker has it.
        if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
            namespaces.push(serde_json::json!({"type": "cgroup"}));
        }
        std::fs::write(&path, config.to_string()).context("cannot write the bundle's configuration")?;
        Ok(Self(bundle))
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts a program into its file system, at the root.
    pub fn add(&self, program: &Path) -> Result<()> {
        let name = program.file_name().context("the program has no name")?;
        let copied = std::fs::copy(program, self.0.join("rootfs").join(name));
        copied
            .map(drop)
            .with_context(|| format!("cannot copy {}", program.display()))
    }
}

/// Runs a command to its end, which has to be a good one.
pub fn succeed(command: &mut Command) -> Result<()> {
    said(command).map(drop)
}

/// What a command prints until its end, which has to be a good one.
pub fn said(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
