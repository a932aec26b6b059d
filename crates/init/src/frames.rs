//! Frames out of a stream that delivers bytes in pieces of any size.

use std::marker::PhantomData;

use protocol::frame::{self, FrameError, HEADER_LEN};

/// Collects bytes and gives back messages.
#[derive(Debug)]
pub struct Frames<T> {
    /// Received and not yet part of a message: at most one frame and what one read added to it.
    bytes: Vec<u8>,
    message: PhantomData<T>,
}

impl<T> Default for Frames<T> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            message: PhantomData,
        }
    }
}

impl<T: serde::de::DeserializeOwned> Frames<T> {
    /// Adds `bytes` and returns the messages that are complete now.
    ///
    /// # Errors
    /// [`FrameError`] where what arrived is not a frame; the stream is then of no further use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<T>, FrameError> {
        self.bytes.extend_from_slice(bytes);
        let mut messages = Vec::new();
        let mut used = 0;
        while let Some((header, rest)) = self.bytes[used..].split_first_chunk::<HEADER_LEN>() {
            let len = frame::parse_header(*header)?;
            let Some(message) = rest.get(..len) else { break };
            messages.push(frame::parse(message)?);
            used += HEADER_LEN + len;
        }
        self.bytes.drain(..used);
        Ok(messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same_messages(messages in prop::collection::vec(".{0,20}", 0..6), piece in 1..40_usize) {
            let mut bytes = Vec::new();
            for message in &messages {
                frame::write(&mut bytes, message).unwrap();
            }
            let mut frames = Frames::<String>::default();
            let mut received = Vec::new();
            for piece in bytes.chunks(piece) {
                received.extend(frames.push(piece).unwrap());
            }
            prop_assert_eq!(received, messages);
            prop_assert!(frames.bytes.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Frames::<protocol::guest::ToGuest>::default().push(&bytes);
        }
    }
}
