//! Images: what is in the store, and how one gets there.

use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// An image in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its full names, `registry/repository:tag`; an image without any can only be named by its digest.
    pub names: Vec<String>,
    /// Digest of its manifest, `sha256:…`.
    pub digest: String,
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// When it was made, RFC 3339, if the image says.
    pub created: Option<String>,
    /// Bytes of its layers' data in the store; layers shared with other images count in full.
    pub size_bytes: u64,
    /// Number of layers.
    pub layers: usize,
    /// When it came into the store, in milliseconds since the Unix epoch; 0 where that is not known.
    #[serde(default)]
    pub stored_unix_ms: u64,
    /// The layers, bottom first: images whose lists begin alike share these.
    #[serde(default)]
    pub layer_list: Vec<StoredLayer>,
}

/// A layer in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLayer {
    /// Digest of its uncompressed archive: two images with the same have it in common.
    pub diff_id: String,
    /// Bytes of its data and index in the store.
    pub size_bytes: u64,
    /// Bytes that it came as.
    pub compressed_bytes: u64,
}

/// The answer to [`crate::route::IMAGES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageList {
    /// Sorted by name.
    pub images: Vec<Image>,
}

/// The body of a [`crate::route::IMAGES_PULL`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullRequest {
    /// The image, as Docker parses it.
    pub reference: String,
    /// What to sign in with; otherwise the host agent's own configuration is asked.
    #[serde(default)]
    pub credentials: Option<Credentials>,
    /// Whether this registry may be spoken to without TLS.
    #[serde(default)]
    pub insecure: bool,
    /// `os/architecture[/variant]`; the host's own where absent.
    #[serde(default)]
    pub platform: Option<String>,
}

/// The body of a `POST` to [`crate::route::REGISTRY_LOGIN`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The registry as in images' names: `docker.io`, `registry.example:5000`.
    pub registry: String,
    /// The name.
    pub username: String,
    /// The password or access token.
    pub password: String,
    /// Whether this registry may be spoken to without TLS.
    #[serde(default)]
    pub insecure: bool,
}

/// The body of a `POST` to [`crate::route::REGISTRY_LOGOUT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogoutRequest {
    /// The registry as in images' names.
    pub registry: String,
}

/// The answer to a [`crate::route::REGISTRY_LOGOUT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedOut {
    /// Whether anything had been kept.
    pub was_signed_in: bool,
}

/// The body of a `POST` to [`crate::route::IMAGES_SAVE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaveRequest {
    /// References or digests of the images.
    pub references: Vec<String>,
}

/// A user's name and password for a registry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The name; `<token>` makes the password an identity token.
    pub username: String,
    /// The password or identity token.
    pub password: String,
}

/// One line of the answer to a pull or a load: JSON objects, a line each, the last one [`Self::Done`] or [`Self::Failed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageEvent {
    /// The image's manifest is known; these are its layers, bottom first.
    Resolved {
        /// Digest of the manifest.
        digest: String,
        /// Its layers.
        layers: Vec<LayerSummary>,
    },
    /// Bytes of a layer arrived, in total so far.
    LayerProgress {
        /// The layer's digest.
        digest: String,
        /// Compressed bytes so far.
        received_bytes: u64,
    },
    /// A layer is in the store.
    LayerDone {
        /// The layer's digest.
        digest: String,
        /// Whether it had been there before.
        existed: bool,
    },
    /// All went well; these images are in the store.
    Done {
        /// The images.
        images: Vec<Image>,
    },
    /// It failed; the store is as it was before.
    Failed {
        /// Why.
        error: ApiError,
    },
}

/// A layer that an image needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSummary {
    /// Digest of the layer's blob.
    pub digest: String,
    /// Compressed size in bytes.
    pub size_bytes: u64,
}
