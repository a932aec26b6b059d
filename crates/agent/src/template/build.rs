//! Making a template: found where an earlier host agent left it, or saved by a VMM whose guest has just booted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::vmm::{BASE_MEMORY_MIB, Boot, Device, ExitCode, Limits, Origin, Shape, standing};
use tokio::sync::watch;

use super::key::{Ingredients, key};
use super::made::{GUEST, Made, PART, Part, SCRATCH, finish, is_ours, remove, verify};
use super::manifest::FilesError;
use super::mount::{self, MountError};
use super::scratch::{ScratchDisk, ScratchError};
use crate::clock;
use crate::config::Config;
use crate::launch::{Launch, LaunchError, Launcher};
use crate::sentence::sentence;
use crate::sizing;

/// How long a VMM may take to boot and save its guest. A machine without hardware virtualization needs seconds.
const BUILD_SECONDS: u64 = 120;

/// Why there is no template.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Where it should be.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// Its scratch disk.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// Its VMM.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// Its files.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The VMM ended in another way than by saving.
    #[error("the VMM did not save a template: {0}")]
    NotSaved(String),
    /// The VMM did not end.
    #[error("the guest did not boot within {BUILD_SECONDS} seconds")]
    TooSlow,
    /// The host agent ends.
    #[error("the host agent ends")]
    Closing,
    /// The thread that did the work is gone.
    #[error("the work was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// What templates are made with.
pub struct Workshop {
    config: Config,
    directory: PathBuf,
    launcher: Arc<Launcher>,
    scratch: Arc<ScratchDisk>,
    closing: watch::Receiver<bool>,
}

impl Workshop {
    /// A workshop that waits for no VMM any more once it is `closing`.
    pub fn new(
        config: Config,
        launcher: Arc<Launcher>,
        scratch: Arc<ScratchDisk>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let directory = config.templates_directory();
        Self {
            config,
            directory,
            launcher,
            scratch,
            closing,
        }
    }

    /// The key of the template that is needed now.
    pub fn key(&self) -> Result<String, BuildError> {
        let ingredients = Ingredients {
            kernel: &self.config.kernel,
            initramfs: &self.config.initramfs,
            vmm: &self.config.vmm,
            command_line: "",
        };
        let made = key(&ingredients).map_err(|(path, source)| FilesError::Io {
            attempted: "look at",
            path,
            source,
        });
        Ok(made?)
    }

    /// Whether an earlier host agent left a template, of whatever worth.
    pub fn has_any(&self) -> bool {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| is_ours(&entry.path()))
    }

    /// The template `key` of an earlier host agent, if it is there and whole. All others that are not `used` are removed.
    pub fn find(&self, key: &str, used: &BTreeSet<PathBuf>) -> Result<Option<Made>, BuildError> {
        match &self.config.templates {
            Some(directory) => mount::make(directory)?,
            None => mount::prepare(&self.directory)?,
        }
        let failed = |source| FilesError::Io {
            attempted: "list",
            path: self.directory.clone(),
            source,
        };
        let mut found = None;
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !is_ours(&path) || used.contains(&path) {
                continue;
            }
            match verify(&path, key) {
                Ok(made) if found.is_none() => found = Some(made),
                checked => {
                    if let Err(Some(error)) = checked {
                        tracing::warn!("a template is of no use any more: {}", sentence(&error));
                    }
                    remove(&path)?;
                }
            }
        }
        Ok(found)
    }

    /// Boots a guest and has it saved as the template `key`. Its checksums are still to be written: clones can be made before.
    pub async fn build(self: &Arc<Self>, key: &str) -> Result<Made, BuildError> {
        let created_unix_ms = clock::wall_ms();
        let directory = self.directory.join(format!("{key}-{created_unix_ms}"));
        let mut part = directory.clone().into_os_string();
        part.push(PART);
        let part = Part(part.into());
        let (this, path) = (self.clone(), part.0.clone());
        tokio::task::spawn_blocking(move || this.lay_out(&path)).await??;
        self.save(&part.0).await?;
        let finished = directory.clone();
        let stamps = tokio::task::spawn_blocking(move || finish(part, &finished)).await??;
        Ok(Made {
            key: key.to_owned(),
            directory,
            created_unix_ms,
            stamps,
        })
    }

    fn lay_out(&self, part: &Path) -> Result<(), BuildError> {
        let guest = part.join(GUEST);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&guest);
        made.map_err(|source| FilesError::Io {
            attempted: "make",
            path: guest,
            source,
        })?;
        Ok(self.scratch.copy_to(&part.join(SCRATCH))?)
    }

    async fn save(&self, part: &Path) -> Result<(), BuildError> {
        let boot = Boot {
            kernel: self.config.kernel.clone(),
            initramfs: self.config.initramfs.clone(),
            command_line: String::new(),
            serial: None,
            save: Some(part.join(GUEST)),
        };
        let scratch = Device::BlockFile {
            path: part.join(SCRATCH),
        };
        let shape = Shape {
            vcpus: 1,
            growth_mib: 0,
            slots: BTreeMap::from([(standing::SCRATCH, scratch)]),
            limits: Limits::default(),
        };
        // What is saved to a tmpfs counts as memory of who saves it: as much again as the guest has.
        let memory_bytes_max = sizing::vmm_memory_bytes(BASE_MEMORY_MIB);
        let mut vmm = self.launcher.launch(Launch {
            origin: Origin::Boot(boot),
            shape: Some(shape),
            memory_bytes_max,
            serves_directories: false,
        })?;
        let mut closing = self.closing.clone();
        let result = tokio::select! {
            (status, message) = vmm.ended() => match status {
                Ok(Some(status)) if status.code() == Some(i32::from(ExitCode::Saved)) => Ok(()),
                _ => Err(BuildError::NotSaved(message)),
            },
            () = tokio::time::sleep(Duration::from_secs(BUILD_SECONDS)) => Err(BuildError::TooSlow),
            // A sender that is gone closes it too.
            _ = closing.wait_for(|closing| *closing) => Err(BuildError::Closing),
        };
        vmm.end().await;
        result
    }

    /// Removes everything, and the file system that it is on.
    pub fn clear(&self) -> Result<(), BuildError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => {
                let (attempted, path) = ("list", self.directory.clone());
                return Err(FilesError::Io {
                    attempted,
                    path,
                    source,
                }
                .into());
            }
        };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| is_ours(path)) {
            remove(&path)?;
        }
        if self.config.templates.is_none() {
            mount::remove(&self.directory)?;
        }
        Ok(())
    }
}
