//! The root file system of a container: its image below, its scratch disk above.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

use crate::block::{self, BlockError};
use crate::failure::{Attempt, StepError};
use crate::mount::Mounted;

/// Why a container has no root file system.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// A slot does not hold what it should.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A mount failed.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// Mounts the root file system of the container `name` somewhere below `directory` and tells where.
///
/// # Errors
/// [`RootfsError`].
pub fn mount(
    directory: &Path,
    name: &str,
    rootfs_slot: u8,
    scratch_slot: Option<u8>,
    mounted: &mut Mounted,
) -> Result<PathBuf, RootfsError> {
    let slots = Path::new(block::SLOTS);
    let [image, scratch, root] = ["image", "scratch", "root"].map(|name| directory.join(name));
    let device = block::device_of(slots, rootfs_slot)?;
    mounted.mount("erofs", &device, &image, MountFlags::RDONLY, None)?;
    match scratch_slot {
        Some(slot) => mounted.mount(
            "ext4",
            &block::device_of(slots, slot)?,
            &scratch,
            MountFlags::empty(),
            None,
        )?,
        None => mounted.mount("tmpfs", Path::new("tmpfs"), &scratch, MountFlags::empty(), None)?,
    }
    // Containers may share a scratch disk, so each has its own directory there.
    let [upper, work] = ["upper", "work"].map(|part| scratch.join(name).join(part));
    for path in [&upper, &work] {
        fs::create_dir_all(path).attempting(|| format!("create {}", path.display()))?;
    }
    // The root directory of the overlay is that of its upper layer, but the image's own is what the container is to see.
    look_alike(&image, &upper).attempting(|| format!("make {} look like {}", upper.display(), image.display()))?;
    let options = overlay_options(&image, &upper, &work);
    mounted.mount(
        "overlay",
        Path::new("overlay"),
        &root,
        MountFlags::empty(),
        Some(&options),
    )?;
    Ok(root)
}

/// Gives a directory the owner and the mode of another.
fn look_alike(original: &Path, copy: &Path) -> io::Result<()> {
    let original = fs::metadata(original)?;
    std::os::unix::fs::chown(copy, Some(original.uid()), Some(original.gid()))?;
    fs::set_permissions(copy, original.permissions())
}

/// The overlay's options. None of the paths contains a character that overlayfs gives a meaning to: they consist of our own names
/// and of the container's, which is checked.
fn overlay_options(lower: &Path, upper: &Path, work: &Path) -> CString {
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    // No zero byte can be in a path that was created.
    CString::new(options).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlay_has_the_image_below_and_the_scratch_disk_above() {
        let options = overlay_options(
            Path::new("/c/0/image"),
            Path::new("/c/0/scratch/web/upper"),
            Path::new("/c/0/scratch/web/work"),
        );
        assert_eq!(
            options.as_c_str(),
            c"lowerdir=/c/0/image,upperdir=/c/0/scratch/web/upper,workdir=/c/0/scratch/web/work"
        );
    }
}
