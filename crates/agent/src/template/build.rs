//! Making a template: found where an earlier host agent left it, or saved by a VMM whose guest has just booted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::vmm::{BASE_MEMORY_MIB, Boot, Device, ExitCode, Limits, Origin, Shape, standing};
use tokio::sync::watch;

use super::key::{Ingredients, KEY_LEN, key};
use super::manifest::{self, ManifestError};
use super::mount::{self, MountError};
use super::scratch::{ScratchDisk, ScratchError};
use crate::clock;
use crate::config::Config;
use crate::launch::{Launch, LaunchError, Launcher};
use crate::sentence::sentence;
use crate::sizing;

/// How long a VMM may take to boot and save its guest. A machine without hardware virtualization needs seconds.
const BUILD_SECONDS: u64 = 120;

/// Where in a template what the VMM saved is.
const GUEST: &str = "guest";

/// The scratch disk, as the saved guest has it mounted.
const SCRATCH: &str = "scratch.ext4";

/// What the name of a template that is not finished ends with.
const PART: &str = ".part";

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
    /// A file.
    #[error("cannot {attempted} {}", path.display())]
    Io {
        /// `look at`, `make`, …
        attempted: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
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

/// A finished template's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// What it is for.
    pub key: String,
    /// Where it is.
    pub directory: PathBuf,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
}

impl Made {
    /// What a clone is made from.
    pub fn guest(&self) -> PathBuf {
        self.directory.join(GUEST)
    }

    /// What a clone's scratch disk is a view of.
    pub fn scratch(&self) -> PathBuf {
        self.directory.join(SCRATCH)
    }
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
        key(&ingredients).map_err(|(path, source)| BuildError::Io {
            attempted: "look at",
            path,
            source,
        })
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
        let failed = |source| BuildError::Io {
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
        let made = Made {
            key: key.to_owned(),
            directory,
            created_unix_ms,
        };
        let finished = made.clone();
        tokio::task::spawn_blocking(move || finish(part, &finished.directory)).await??;
        Ok(made)
    }

    fn lay_out(&self, part: &Path) -> Result<(), BuildError> {
        let guest = part.join(GUEST);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&guest);
        made.map_err(|source| BuildError::Io {
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
                return Err(BuildError::Io {
                    attempted: "list",
                    path: self.directory.clone(),
                    source,
                });
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

/// Writes down the checksums of a template, so that a later host agent can trust it.
pub fn seal(made: &Made) -> Result<(), ManifestError> {
    manifest::write(&made.directory)?;
    let read_only = |path: &Path| {
        fs::set_permissions(path, Permissions::from_mode(0o500)).map_err(|source| ManifestError::Io {
            attempted: "protect",
            path: path.to_owned(),
            source,
        })
    };
    read_only(&made.guest())?;
    read_only(&made.directory)
}

/// Whether `path` is named as templates are, finished or not: somebody may have named a directory that has other things in it.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(PART).unwrap_or(name);
    name.split_once('-').is_some_and(|(key, created)| {
        key.len() == KEY_LEN
            && key.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !created.is_empty()
            && created.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The template in `path` if it has this key; `Err(None)` where it is another's or unfinished, and otherwise why it cannot be trusted.
fn verify(path: &Path, key: &str) -> Result<Made, Option<ManifestError>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let created = name.strip_prefix(key).and_then(|rest| rest.strip_prefix('-'));
    let created_unix_ms = created.and_then(|text| text.parse().ok()).ok_or(None)?;
    manifest::verify(path)?;
    Ok(Made {
        key: key.to_owned(),
        directory: path.to_owned(),
        created_unix_ms,
    })
}

/// A directory that goes with its guard unless it is finished.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        if self.0.exists()
            && let Err(error) = remove(&self.0)
        {
            tracing::error!("an unfinished template is left over: {}", sentence(&error));
        }
    }
}

/// Makes the files read-only and lasting, and gives their directory its name.
fn finish(part: Part, directory: &Path) -> Result<(), BuildError> {
    let failed = |attempted, path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Io {
            attempted,
            path,
            source,
        }
    };
    let guest = part.0.join(GUEST);
    let mut files = vec![part.0.join(SCRATCH)];
    for entry in fs::read_dir(&guest).map_err(failed("list", &guest))? {
        files.push(entry.map_err(failed("list", &guest))?.path());
    }
    for path in &files {
        let file = File::open(path).map_err(failed("open", path))?;
        file.set_permissions(Permissions::from_mode(0o400))
            .map_err(failed("protect", path))?;
        file.sync_all().map_err(failed("write", path))?;
    }
    fs::rename(&part.0, directory).map_err(failed("rename", &part.0))
}

/// Removes a template, read-only as it is.
pub fn remove(path: &Path) -> Result<(), BuildError> {
    let failed = |source| BuildError::Io {
        attempted: "remove",
        path: path.to_owned(),
        source,
    };
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.is_dir() {
        return fs::remove_file(path).map_err(failed);
    }
    for directory in [path, &path.join(GUEST)] {
        if directory.is_dir() && metadata.mode() & 0o200 == 0 {
            fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(failed)?;
        }
    }
    fs::remove_dir_all(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_like_a_template_is_ever_removed() {
        let key = "0123456789abcdef0123456789abcdef";
        for (name, expected) in [
            (format!("{key}-1795355464389"), true),
            (format!("{key}-1795355464389.part"), true),
            (format!("{key}-"), false),
            (format!("{key}-1x"), false),
            ("home".to_owned(), false),
            ("my-1".to_owned(), false),
        ] {
            assert_eq!(is_ours(&Path::new("/templates").join(&name)), expected, "{name}");
        }
    }

    #[test]
    fn a_read_only_template_is_removed_whole() {
        let base = tempfile::tempdir().unwrap();
        let made = Made {
            key: "k".to_owned(),
            directory: base.path().join("k-1"),
            created_unix_ms: 1,
        };
        fs::create_dir_all(made.guest()).unwrap();
        fs::write(made.guest().join("memory"), "x").unwrap();
        seal(&made).unwrap();
        assert_eq!(verify(&made.directory, "k").unwrap(), made);
        remove(&made.directory).unwrap();
        assert!(!made.directory.exists());
    }
}
