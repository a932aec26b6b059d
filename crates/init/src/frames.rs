//! Frames out of a stream that delivers bytes in pieces of any size.

use std::marker::PhantomData;

use protocol::frame::{self, FrameError, HEADER_LEN, Kind, Piece};

/// Room for the next reading, in bytes. It is not touched before bytes arrive there.
const ROOM_LEN: usize = 16 * 1024;

/// A frame of a connection that also carries streams.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a, T> {
    /// A message.
    Message(T),
    /// A piece of a stream.
    Piece(Piece<'a>),
}

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
    /// [`FrameError`] where what arrived is not a message; the stream is then of no further use.
    pub fn take(&mut self) -> Result<Option<T>, FrameError> {
        match self.whole(|header| frame::parse_header(header).map(Kind::Message))? {
            Some((_, bytes)) => frame::parse(bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Takes the next frame, which may be a piece of a stream, if all of it is there.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_frame(&mut self) -> Result<Option<Frame<'_, T>>, FrameError> {
        match self.whole(frame::parse_kind)? {
            Some((Kind::Message(_), bytes)) => frame::parse(bytes).map(|message| Some(Frame::Message(message))),
            Some((Kind::Piece(_), bytes)) => frame::parse_piece(bytes).map(|piece| Some(Frame::Piece(piece))),
            None => Ok(None),
        }
    }

    /// Forgets all that was received.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.used = 0;
    }

    /// The bytes of the next frame; where they are not all there, what was used is forgotten.
    fn whole(
        &mut self,
        parse: impl Fn([u8; HEADER_LEN]) -> Result<Kind, FrameError>,
    ) -> Result<Option<(Kind, &[u8])>, FrameError> {
        if let Some((header, rest)) = self.bytes[self.used..].split_first_chunk::<HEADER_LEN>() {
            let kind = parse(*header)?;
            let (Kind::Message(len) | Kind::Piece(len)) = kind;
            if rest.len() >= len {
                let begin = self.used + HEADER_LEN;
                self.used = begin + len;
                return Ok(Some((kind, &self.bytes[begin..self.used])));
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

    #[test]
    fn messages_and_pieces_come_in_their_order() {
        let mut frames = Frames::<String>::default();
        let piece = Piece {
            process: 7,
            stream: protocol::guest::Stream::Stdin,
            offset: 3,
            content: b"abc",
        };
        let bytes = [
            frame::encode(&"before").unwrap(),
            frame::piece_header(&piece).unwrap().to_vec(),
            b"abc".to_vec(),
            frame::encode(&"behind").unwrap(),
        ];
        frames.room().extend(bytes.concat());
        let message = |text: &str| Some(Frame::Message(text.to_owned()));
        assert_eq!(frames.take_frame().unwrap(), message("before"));
        assert_eq!(frames.take_frame().unwrap(), Some(Frame::Piece(piece)));
        assert_eq!(frames.take_frame().unwrap(), message("behind"));
        assert_eq!(frames.take_frame().unwrap(), None);
    }

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
            while let Ok(Some(_)) = frames.take_frame() {}
        }
    }
}
