//! Images from this host: OCI layout directories, archives of them, and what `docker save` writes.

pub mod archive;
pub mod docker_archive;
pub mod layout;
pub mod section;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::{Digest, DigestError};
use crate::manifest::{Descriptor, Index, ManifestError};
use crate::reference::{REFERENCE_LEN_MAX, Reference};
use crate::source::Transport;
use crate::tar::TarError;
use archive::Archive;
use section::Section;

/// Why a directory or archive gives no images.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It cannot be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// What was opened.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("cannot read the image archive")]
    Read(#[source] io::Error),
    /// It is no tar archive, or a damaged or incomplete one.
    #[error("the image archive is damaged or incomplete")]
    Archive(#[source] TarError),
    /// More members than images need.
    #[error("the image archive has more than {} members", archive::MEMBERS_MAX)]
    TooManyMembers,
    /// Something that it says it has is not there.
    #[error("the image archive is incomplete: it has no {0:?}")]
    Missing(String),
    /// A file that should be small is not.
    #[error("{path:?} in the image archive is larger than {len_max} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// The bound.
        len_max: u64,
    },
    /// Neither of the two forms.
    #[error("the archive holds no image: it is neither an OCI layout nor what docker save writes")]
    NoKnownForm,
    /// A layout of a version that is not known.
    #[error("the OCI layout has the unknown version {0:?}")]
    LayoutVersion(String),
    /// A table of contents is malformed.
    #[error("the image archive's table of contents is malformed")]
    Json(#[source] serde_json::Error),
    /// A table of contents is refused.
    #[error("the image archive's table of contents is refused")]
    Contents(#[source] ManifestError),
    /// An image's configuration is refused.
    #[error("the image archive has an image with a bad configuration")]
    Config(#[source] crate::config::ConfigError),
    /// A configuration and its list of layers do not go together.
    #[error("the image archive lists {listed} layers for an image that has {configured}")]
    LayerCount {
        /// In the table of contents.
        listed: usize,
        /// In the configuration.
        configured: usize,
    },
    /// A blob of the wrong size.
    #[error("the image archive is damaged")]
    Digest(#[source] DigestError),
    /// There is nothing in it.
    #[error("the image archive holds no images")]
    Empty,
    /// No image of that name.
    #[error("there is no image {wanted:?}; there are: {}", offered.join(", "))]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// What there is.
        offered: Vec<String>,
    },
    /// One was asked for, and there are several.
    #[error("there are several images, name one: {}", offered.join(", "))]
    Several {
        /// What there is.
        offered: Vec<String>,
    },
}

impl LocalError {
    fn missing(path: &str) -> Self {
        Self::Missing(path.chars().take(archive::MEMBER_PATH_LEN_MAX).collect())
    }
}

/// A text as a label, if it can be shown and typed: a stranger wrote it.
fn label(text: &str) -> Option<String> {
    let is_shown = text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= REFERENCE_LEN_MAX;
    is_shown.then(|| text.into())
}

/// One image of a layout or archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalImage {
    /// Where it begins.
    pub root: Root,
    /// Whole references that it is to be known by.
    pub names: Vec<Reference>,
    /// What it is called in the archive: its names, or a bare tag.
    pub labels: Vec<String>,
}

/// Where an image begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// At a manifest or index.
    Blob(Descriptor),
    /// At a choice of manifests that is not itself a blob.
    Choice(Index),
}

/// Blobs on this host.
#[derive(Debug)]
pub enum LocalBlobs {
    /// An OCI layout directory.
    Directory(PathBuf),
    /// An archive.
    Archive {
        /// Its members; of an OCI layout also its blobs.
        archive: Archive,
        /// What `docker save` calls otherwise than by digests.
        sections: HashMap<Digest, Section>,
        /// Manifests that the archive implies.
        made: HashMap<Digest, Vec<u8>>,
    },
}

/// A directory or archive and the images it says it has.
#[derive(Debug)]
pub struct Local {
    /// The blobs.
    pub blobs: LocalBlobs,
    /// The images, at least one.
    pub images: Vec<LocalImage>,
}

impl Local {
    /// Opens a directory or an uncompressed archive on the host. Blocks: it reads archives through.
    pub fn open(transport: Transport, path: &Path) -> Result<Self, LocalError> {
        match transport {
            Transport::OciLayout => layout::open_directory(path),
            Transport::OciArchive => layout::open_archive(Archive::open(open_file(path)?)?),
            Transport::DockerArchive => docker_archive::open(Archive::open(open_file(path)?)?),
        }
    }

    /// Opens an uncompressed archive of either form. One that has both, as newer `docker save` writes, is an OCI layout.
    pub fn open_archive(file: File) -> Result<Self, LocalError> {
        let archive = Archive::open(file)?;
        if archive.find(layout::MARKER).is_some() {
            layout::open_archive(archive)
        } else if archive.find(docker_archive::CONTENTS).is_some() {
            docker_archive::open(archive)
        } else {
            Err(LocalError::NoKnownForm)
        }
    }

    /// The image called `selector` (a label, or a reference in any spelling), or the only one.
    pub fn select(&self, selector: Option<&str>) -> Result<LocalImage, LocalError> {
        let offered = || {
            self.images
                .iter()
                .flat_map(|image| image.labels.clone())
                .take(20)
                .collect()
        };
        let Some(wanted) = selector else {
            return match self.images.as_slice() {
                [image] => Ok(image.clone()),
                _ => Err(LocalError::Several { offered: offered() }),
            };
        };
        let reference = Reference::parse(wanted).ok();
        let is_wanted = |image: &&LocalImage| {
            image.labels.iter().any(|label| label == wanted)
                || image.names.iter().any(|name| Some(name) == reference.as_ref())
        };
        let found = self.images.iter().find(is_wanted).cloned();
        found.ok_or_else(|| LocalError::NotFound {
            wanted: wanted.into(),
            offered: offered(),
        })
    }
}

impl LocalBlobs {
    /// A blob that is small, unverified.
    pub fn read(&self, digest: Digest, len_max: u64) -> Result<Vec<u8>, LocalError> {
        if let Self::Archive { made, .. } = self
            && let Some(bytes) = made.get(&digest)
        {
            return Ok(bytes.clone());
        }
        archive::read_small(self.section(digest)?, &blob_path(digest), len_max)
    }

    /// A blob to be read as a stream, unverified but for its size.
    pub fn open(&self, descriptor: &Descriptor) -> Result<Section, LocalError> {
        let section = self.section(descriptor.digest)?;
        let (digest, expected_bytes, actual_bytes) = (descriptor.digest, descriptor.size_bytes, section.len_bytes());
        if actual_bytes != expected_bytes {
            return Err(LocalError::Digest(DigestError::Size {
                digest,
                expected_bytes,
                actual_bytes,
            }));
        }
        Ok(section)
    }

    fn section(&self, digest: Digest) -> Result<Section, LocalError> {
        let path = blob_path(digest);
        match self {
            Self::Directory(directory) => match open_file(&directory.join(&path)) {
                Ok(file) => whole(file),
                Err(LocalError::Open { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    Err(LocalError::missing(&path))
                }
                Err(error) => Err(error),
            },
            Self::Archive { archive, sections, .. } => sections
                .get(&digest)
                .cloned()
                .or_else(|| archive.find(&path))
                .ok_or_else(|| LocalError::missing(&path)),
        }
    }
}

/// Where a layout keeps a blob (OCI image spec, image layout, "Blobs").
fn blob_path(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn whole(file: File) -> Result<Section, LocalError> {
    let len_bytes = file.metadata().map_err(LocalError::Read)?.len();
    Ok(Section::new(Arc::new(file), 0, len_bytes))
}

/// Opens a regular file. A named pipe in its place must not make us wait.
fn open_file(path: &Path) -> Result<File, LocalError> {
    let failed = |source| LocalError::Open {
        path: path.into(),
        source,
    };
    let flags =
        i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(failed)?;
    if file.metadata().map_err(failed)?.is_file() {
        Ok(file)
    } else {
        Err(failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )))
    }
}
