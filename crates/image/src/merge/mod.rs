//! Layers on top of one another make one tree (OCI image spec, layer.md, "Applying Changesets").
//!
//! What the specification leaves open is decided as container engines do it, so that an image means the same here:
//!
//! - Whiteouts and opaque markers of a layer take away what lower layers have there, and nothing of their own layer,
//!   wherever in the archive they stand.
//! - A directory over a directory keeps the contents and takes the attributes of the upper one, all of them. In every
//!   other pair the upper one replaces the lower one and all that was in it.
//! - Symbolic links in the middle of a path are followed inside the image: absolute ones start at its root, and `..`
//!   stops there. The last component is never followed, so a directory replaces a symbolic link of its name.
//! - Directories that a path needs but no layer has are made, with mode 0755, owner 0 and time 0.
//! - A path that leads through something else than a directory, and a hard link to nothing or to a directory, are errors.
//! - A hard link has the attributes of its target, whatever its own header says.

mod apply;
mod resolve;

pub use apply::{MergeError, merge};

#[cfg(test)]
mod tests;
