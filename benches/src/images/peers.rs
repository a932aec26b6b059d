//! What others make of an image: a directory, or layers of a storage driver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::samples::Image;
use super::timed;
use crate::bundle::{said, succeed};
use crate::warm;

/// How often containerd is asked whether it is there.
const ATTEMPTS: u32 = 100;

/// A tool that unpacks images.
pub enum Peer {
    /// `skopeo copy` into a layout, then `umoci unpack`.
    SkopeoAndUmoci,
    /// `podman pull` into a storage of its own.
    Podman(PathBuf),
    /// `ctr image import` into a containerd of its own, which unpacks.
    Containerd(Containerd),
}

impl Peer {
    /// All that are installed; `notes` says which are not.
    pub fn all(scratch: &Path, notes: &mut Vec<String>) -> Result<Vec<Self>> {
        let mut peers = vec![Self::SkopeoAndUmoci];
        let mut missing = |name: &str| {
            let note = format!("{name} is not installed, and so not compared");
            if !notes.contains(&note) {
                notes.push(note);
            }
        };
        match warm::find("podman") {
            Some(program) => peers.push(Self::Podman(program)),
            None => missing("podman"),
        }
        match (warm::find("containerd"), warm::find("ctr")) {
            (Some(_), Some(_)) => peers.push(Self::Containerd(Containerd::start(scratch)?)),
            _ => missing("containerd"),
        }
        Ok(peers)
    }

    /// What it is called in figures.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SkopeoAndUmoci => "skopeo copy, umoci unpack",
            Self::Podman(_) => "podman pull",
            Self::Containerd(_) => "ctr image import",
        }
    }

    /// Unpacks the image, and forgets it. Answers how long the first took, in milliseconds.
    pub fn unpack(&self, image: &Image, scratch: &Path) -> Result<f64> {
        match self {
            Self::SkopeoAndUmoci => {
                let directory = scratch.join("unpacked");
                let copy = format!("oci:{}:image", directory.join("layout").display());
                fs::create_dir_all(&directory).context("cannot make a directory")?;
                let mut unpack = Command::new("umoci");
                unpack
                    .args(["unpack", "--image", &copy["oci:".len()..]])
                    .arg(directory.join("bundle"));
                let copied = timed(Command::new("skopeo").args(["copy", "--quiet", &image.source(), &copy]))?;
                let unpacked = timed(&mut unpack)?;
                fs::remove_dir_all(&directory).context("cannot remove what was unpacked")?;
                Ok(copied + unpacked)
            }
            Self::Podman(program) => {
                let storage = scratch.join("podman");
                let podman = || {
                    let mut command = Command::new(program);
                    command
                        .arg("--root")
                        .arg(storage.join("root"))
                        .arg("--runroot")
                        .arg(storage.join("run"));
                    command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "none"]);
                    command
                };
                let ms = timed(podman().args(["pull", "--quiet", &image.source()]))?;
                succeed(podman().args(["rmi", "--all", "--force"]))?;
                // A storage driver may have mounted it.
                let _ = Command::new("umount")
                    .arg(storage.join("root/overlay"))
                    .stderr(Stdio::null())
                    .status();
                fs::remove_dir_all(&storage).context("cannot remove podman's storage")?;
                Ok(ms)
            }
            Self::Containerd(containerd) => containerd.import(image, scratch),
        }
    }
}

/// A containerd that ends with the value.
pub struct Containerd {
    server: Child,
    socket: PathBuf,
}

impl Containerd {
    fn start(scratch: &Path) -> Result<Self> {
        let directory = scratch.join("containerd");
        fs::create_dir_all(&directory).context("cannot make a directory for containerd")?;
        let (socket, config) = (directory.join("socket"), directory.join("config.toml"));
        let text = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{0}/socket\"\n",
            directory.display()
        );
        fs::write(&config, text).context("cannot write containerd's configuration")?;
        let server = Command::new("containerd")
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run containerd")?;
        let started = Self { server, socket };
        for _ in 0..ATTEMPTS {
            if said(started.ctr().arg("version")).is_ok() {
                return Ok(started);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        bail!("containerd does not start")
    }

    fn ctr(&self) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(&self.socket);
        command
    }

    fn import(&self, image: &Image, scratch: &Path) -> Result<f64> {
        let archive = scratch.join("containerd.tar");
        let to = format!("oci-archive:{}:bench", archive.display());
        if !archive.exists() || fs::read_to_string(scratch.join("containerd.of")).unwrap_or_default() != image.name {
            // A name that is taken is not written over.
            let _ = fs::remove_file(&archive);
            succeed(Command::new("skopeo").args(["copy", "--quiet", &image.source(), &to]))?;
            fs::write(scratch.join("containerd.of"), &image.name).context("cannot write a file")?;
        }
        let ms = timed(
            self.ctr()
                .args(["image", "import", "--base-name", "bench"])
                .arg(&archive),
        )?;
        let names = said(self.ctr().args(["image", "ls", "--quiet"]))?;
        for name in names.lines() {
            succeed(self.ctr().args(["image", "rm", "--sync", name]))?;
        }
        Ok(ms)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Bytes of the file system that `mkfs.erofs` makes of the unpacked image, without compression.
pub fn mkfs_erofs(image: &Image, scratch: &Path) -> Result<f64> {
    let (bundle, file) = (scratch.join("mkfs-bundle"), scratch.join("mkfs.erofs"));
    succeed(
        Command::new("umoci")
            .args(["unpack", "--image", &image.layout_and_tag()])
            .arg(&bundle),
    )?;
    succeed(
        Command::new("mkfs.erofs")
            .arg("--quiet")
            .arg(&file)
            .arg(bundle.join("rootfs")),
    )?;
    let bytes = fs::metadata(&file).context("mkfs.erofs made nothing")?.len();
    fs::remove_dir_all(&bundle).context("cannot remove what was unpacked")?;
    fs::remove_file(&file).context("cannot remove a file system")?;
    #[expect(clippy::cast_precision_loss, reason = "a size, for a ratio")]
    Ok(bytes as f64)
}
