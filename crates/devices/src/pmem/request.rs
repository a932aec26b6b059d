//! virtio-pmem requests (virtio 1.2, 5.19.6): hostile bytes in, a request that is known out.

use thiserror::Error;

/// The length of a request, in bytes: its type.
pub const REQUEST_BYTES: usize = 4;
/// The length of an answer, in bytes.
pub const ANSWER_BYTES: usize = 4;
/// The answer to a request that was carried out.
pub const OK: u32 = 0;
/// The answer to one that was not.
pub const FAILED: u32 = 1;

/// `VIRTIO_PMEM_REQ_TYPE_FLUSH`.
const FLUSH: u32 = 0;

/// A request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// Make what was written durable.
    Flush,
}

/// Why bytes are not a request.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum RequestError {
    /// The driver gives less than a type.
    #[error("a request of {bytes} bytes has no type")]
    TooShort {
        /// How much it gives.
        bytes: usize,
    },
    /// A type that the specification does not have.
    #[error("there is no request of type {number}")]
    Unknown {
        /// The type.
        number: u32,
    },
}

/// Reads a request; what a driver gives beyond it means nothing.
///
/// # Errors
///
/// When it is too short or of an unknown type.
pub fn parse(bytes: &[u8]) -> Result<Request, RequestError> {
    let kind = bytes
        .first_chunk::<REQUEST_BYTES>()
        .ok_or(RequestError::TooShort { bytes: bytes.len() })?;
    match u32::from_le_bytes(*kind) {
        FLUSH => Ok(Request::Flush),
        number => Err(RequestError::Unknown { number }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_request() {
        assert_eq!(parse(&[0; 4]), Ok(Request::Flush));
        assert_eq!(parse(&[0, 0, 0, 0, 9]), Ok(Request::Flush));
        assert_eq!(parse(&[1, 0, 0, 0]), Err(RequestError::Unknown { number: 1 }));
        assert_eq!(parse(&[0, 0, 0, 1]), Err(RequestError::Unknown { number: 1 << 24 }));
    }

    #[test]
    fn less_than_a_type_is_no_request() {
        for bytes in 0..4 {
            assert_eq!(parse(&vec![0; bytes]), Err(RequestError::TooShort { bytes }));
        }
    }
}
