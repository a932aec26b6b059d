//! Where a guest connects to its host agent, once. It stands until the guest is told what to be, so a later host agent knows whether it was.

use std::fs;
use std::path::{Path, PathBuf};

use protocol::guest::CONTROL_PORT;
use tokio::net::UnixListener;

use super::{LaunchError, VSOCK};

/// Makes the door in the microVM's directory: long before the guest is there, so that one which is quick finds somebody.
pub fn open(directory: &Path) -> Result<UnixListener, LaunchError> {
    let path = path(directory);
    UnixListener::bind(&path).map_err(|source| LaunchError::Socket { path, source })
}

/// Whether it stands.
pub fn stands(directory: &Path) -> bool {
    path(directory).exists()
}

/// Takes it away.
pub fn remove(directory: &Path) {
    let path = path(directory);
    if let Err(error) = fs::remove_file(&path) {
        tracing::warn!(path = %path.display(), "cannot remove the guest's door: {error}");
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join(format!("{VSOCK}_{CONTROL_PORT}"))
}
