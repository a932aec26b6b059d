//! The writable layer of a container: a directory on a scratch disk, with what every container needs made in advance.

use std::ffi::CString;
use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::failure::{Attempt, StepError};

/// The directories that something is mounted on. Docker's containers have them too, whatever their image has.
const DIRECTORIES: [&str; 4] = ["dev", "etc", "proc", "sys"];

/// The files of `/etc` that something is mounted on.
pub const FILES: [&str; 3] = ["hostname", "hosts", "resolv.conf"];

/// The owner, group and mode of everything that is made here.
const MADE: (u32, u32, u32) = (0, 0, 0o755);

/// Makes an empty layer at `layer`; `false` where there is one already, which is then gone on with.
///
/// # Errors
/// The first step that failed.
pub fn prepare(layer: &Path) -> Result<bool, StepError> {
    let prepared = || -> io::Result<bool> {
        let upper = layer.join("upper");
        fs::create_dir_all(layer.join("work"))?;
        if upper.exists() {
            return Ok(false);
        }
        fs::create_dir(&upper)?;
        for directory in DIRECTORIES {
            fs::create_dir(upper.join(directory))?;
        }
        for file in FILES {
            File::create_new(upper.join("etc").join(file))?;
        }
        Ok(true)
    };
    prepared().attempting(|| format!("make a writable layer at {}", layer.display()))
}

/// Makes the empty layer at `layer` look as if it came from the image at `image`.
///
/// # Errors
/// The first step that failed.
pub fn adapt(layer: &Path, image: &Path) -> Result<(), StepError> {
    let upper = layer.join("upper");
    let adapted = || -> io::Result<()> {
        // The root directory of an overlay is that of its upper layer.
        let root = fs::metadata(image)?;
        if attributes(&root) != MADE {
            std::os::unix::fs::chown(&upper, Some(root.uid()), Some(root.gid()))?;
            fs::set_permissions(&upper, Permissions::from_mode(root.mode()))?;
        }
        match fs::symlink_metadata(image.join("etc")) {
            Ok(etc) if !etc.is_dir() || attributes(&etc) != MADE => fs::remove_dir_all(upper.join("etc")),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    };
    adapted().attempting(|| format!("make {} look like {}", upper.display(), image.display()))
}

/// The options of the overlay that has `image` below and `layer` above. None of the paths contains a character that overlayfs gives a
/// meaning to: they consist of our own names and of numbers.
pub fn options(image: &Path, layer: &Path) -> CString {
    let [image, layer] = [image, layer].map(|path| path.as_os_str().as_bytes());
    // Nobody looks for the file system's identity, which would be written to the layer.
    let parts = [
        b"uuid=null,lowerdir=",
        image,
        b",upperdir=",
        layer,
        b"/upper,workdir=",
        layer,
        b"/work",
    ];
    // No zero byte can be in a path that was created.
    CString::new(parts.concat()).unwrap_or_default()
}

fn attributes(metadata: &Metadata) -> (u32, u32, u32) {
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlay_has_the_image_below_and_the_layer_above() {
        assert_eq!(
            options(Path::new("/disks/1"), Path::new("/disks/3/0")).as_c_str(),
            c"uuid=null,lowerdir=/disks/1,upperdir=/disks/3/0/upper,workdir=/disks/3/0/work"
        );
    }

    /// Adapts a layer to an image whose root has `root_mode`, after `image` made something of its `etc`. Returns the mode of the
    /// layer's root, and whether its `etc` is still there.
    fn adapted(root_mode: u32, image: fn(&Path)) -> (u32, bool) {
        let directory = tempfile::tempdir().unwrap();
        let [root, layer] = ["image", "layer"].map(|name| directory.path().join(name));
        fs::create_dir(&root).unwrap();
        image(&root.join("etc"));
        fs::set_permissions(&root, Permissions::from_mode(root_mode)).unwrap();
        prepare(&layer).unwrap();
        adapt(&layer, &root).unwrap();
        let upper = layer.join("upper");
        (
            fs::metadata(&upper).unwrap().mode() & 0o7777,
            upper.join("etc").exists(),
        )
    }

    fn make_directory(path: &Path) {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_layer_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        assert!(prepare(&directory.path().join("0")).unwrap());
        assert!(!prepare(&directory.path().join("0")).unwrap());
    }

    #[test]
    fn the_root_looks_like_the_images() {
        assert_eq!(adapted(0o1711, |_| ()), (0o1711, true));
    }

    #[test]
    fn an_ordinary_etc_is_merged_with_what_was_made() {
        assert!(adapted(0o755, make_directory).1);
    }

    #[test]
    fn an_etc_that_is_something_else_stays_the_images() {
        let link = |path: &Path| std::os::unix::fs::symlink("usr/etc", path).unwrap();
        let closed = |path: &Path| {
            make_directory(path);
            fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        };
        assert!(!adapted(0o755, link).1);
        assert!(!adapted(0o755, closed).1);
    }
}
