//! What the crate `image` refuses, in the words of the API.

use std::error::Error;

use api::error::{ApiError, ErrorCode};
use image::registry::RegistryError;
use image::store::files::FileError;
use image::{ImportError, StoreError};

use crate::sentence::sentence;

/// A refusal of this kind.
pub fn refuse(code: ErrorCode, error: &dyn Error) -> ApiError {
    ApiError {
        code,
        message: sentence(error),
    }
}

/// What the store refuses.
pub fn refuse_store(error: &StoreError) -> ApiError {
    refuse(store_code(error), error)
}

/// What a pull or load refuses.
pub fn refuse_import(error: &ImportError) -> ApiError {
    let code = match error {
        ImportError::Registry(error) => registry_code(error),
        ImportError::Local(_)
        | ImportError::Manifest(_)
        | ImportError::Config(_)
        | ImportError::Damaged(_)
        | ImportError::WrongPlatform { .. }
        | ImportError::LayerCount { .. }
        | ImportError::ImageTooLarge { .. }
        | ImportError::Expansion { .. }
        | ImportError::LayerDamaged { .. }
        | ImportError::WrongLayer { .. }
        | ImportError::Layer { .. }
        | ImportError::Compression { .. }
        | ImportError::Stream(_)
        | ImportError::ArchiveCompression(_)
        | ImportError::ArchiveTooLarge { .. } => ErrorCode::InvalidImage,
        ImportError::OneNameForSeveral(_) | ImportError::RegistryName(_) => ErrorCode::InvalidParameter,
        ImportError::File(error) => file_code(error),
        ImportError::Store(error) => store_code(error),
        ImportError::Spawn(_) => ErrorCode::HostUnable,
        ImportError::Cancelled | ImportError::Thread(_) => ErrorCode::Internal,
    };
    refuse(code, error)
}

const fn store_code(error: &StoreError) -> ErrorCode {
    match error {
        StoreError::NotFound(_) => ErrorCode::ImageNotFound,
        StoreError::Ambiguous(_) => ErrorCode::InvalidParameter,
        StoreError::SeveralNames { .. } | StoreError::NotKept(_) => ErrorCode::Conflict,
        StoreError::Snapshot(_) | StoreError::Changed { .. } => ErrorCode::InvalidImage,
        StoreError::File(error) => file_code(error),
        StoreError::InUse { .. }
        | StoreError::Record { .. }
        | StoreError::Index { .. }
        | StoreError::Thread(_)
        | StoreError::Client(_) => ErrorCode::Internal,
    }
}

const fn file_code(error: &FileError) -> ErrorCode {
    match error {
        FileError::Full { .. } => ErrorCode::HostUnable,
        FileError::Io { .. } => ErrorCode::Internal,
    }
}

const fn registry_code(error: &RegistryError) -> ErrorCode {
    match error {
        RegistryError::NotFound { .. } => ErrorCode::ImageNotFound,
        RegistryError::CredentialsNeeded { .. }
        | RegistryError::WrongCredentials { .. }
        | RegistryError::Denied { .. } => ErrorCode::Unauthorized,
        RegistryError::NoAuthorities { .. } | RegistryError::Authority { .. } => ErrorCode::HostUnable,
        RegistryError::BlobNotFound { .. } | RegistryError::TooLarge { .. } => ErrorCode::InvalidImage,
        RegistryError::Network { .. }
        | RegistryError::Challenge { .. }
        | RegistryError::PlainTokenServer { .. }
        | RegistryError::NoToken { .. }
        | RegistryError::Status { .. }
        | RegistryError::Truncated { .. } => ErrorCode::RegistryUnavailable,
        RegistryError::Tls(_) | RegistryError::Client(_) => ErrorCode::Internal,
    }
}
