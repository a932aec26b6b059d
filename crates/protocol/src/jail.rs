//! How a VMM is confined: what the host agent has prepared for it. The rest a VMM does by itself, whoever starts it.

use serde::{Deserialize, Serialize};

/// What the one that starts a VMM gives it to confine itself with. Without anything it still allows itself few system calls, no new privileges and
/// no file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confinement {
    /// Descriptors of namespaces, inherited under these numbers, which the VMM enters one after the other. They are empty: no interface, no
    /// file.
    #[serde(default)]
    pub namespaces: Vec<i32>,
    /// The number of the user and of the group that the VMM becomes; it stays who it is without.
    #[serde(default)]
    pub user: Option<u32>,
    /// Whether it is to serve directories of the host. Then it keeps what that takes: to open what is below them, and to act for any owner.
    #[serde(default)]
    pub serves_directories: bool,
}
