//! Frames out of a stream that delivers bytes in pieces of any size.

use std::marker::PhantomData;

use protocol::frame::{self, FrameError, HEADER_LEN};

/// Room for the next reading, in bytes. It is not touched before bytes arrive there.
const ROOM_LEN: usize = 16 * 1024;

/// Collects bytes and gives back messages.
#[derive(Debug)]
pub struct Frames<T> {
    /// What was received and has not yet been forgotten: at most one frame and what one reading added to it.
    bytes: Vec<u8>,
    /// How many of the bytes were parts of messages that were given back.
    used: usize,
    message: PhantomData<T>,
}

impl<T> Default for Frames<T> {
    fn default() -> Self {
        Self {
            bytes: Vec::with_capacity(ROOM_LEN),
            used: 0,
            message: PhantomData,
        }
    }
}

impl<T: serde::de::DeserializeOwned> Frames<T> {
    /// Where the next bytes are to be appended; it has spare capacity.
    pub fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.reserve(ROOM_LEN / 2);
        &mut self.bytes
    }

    /// Takes the next message, if all of it is there.
    ///
    /// # Errors
    /// [`FrameError`] where what arrived is not a frame; the stream is then of no further use.
    pub fn take(&mut self) -> Result<Option<T>, FrameError> {
        if let Some((header, rest)) = self.bytes[self.used..].split_first_chunk::<HEADER_LEN>() {
            let len = frame::parse_header(*header)?;
            if let Some(message) = rest.get(..len) {
                let message = frame::parse(message)?;
                self.used += HEADER_LEN + len;
                return Ok(Some(message));
            }
        }
        self.bytes.drain(..self.used);
        self.used = 0;
        Ok(None)
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
                frames.room().extend_from_slice(piece);
                while let Some(message) = frames.take().unwrap() {
                    received.push(message);
                }
            }
            prop_assert_eq!(received, messages);
            prop_assert!(frames.bytes.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut frames = Frames::<protocol::guest::ToGuest>::default();
            frames.room().extend_from_slice(&bytes);
            while let Ok(Some(_)) = frames.take() {}
        }
    }
}
