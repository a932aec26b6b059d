//! Messages of the data channel: a header of 120 bytes, big endian, then a payload.
//!
//! Header length `u32` (116: without the last field), type (32 bytes of text), schema version `u32`, time `u64`, sequence number `i64`,
//! flags `u64`, id (a UUID whose last eight bytes come first), SHA-256 of the payload, kind of payload `u32`, length of payload `u32`.

use sha2::{Digest, Sha256};

/// The most bytes of a payload that is taken.
pub const PAYLOAD_LEN_MAX: usize = 64 << 10;

/// Bytes before the payload.
pub const HEADER_LEN: usize = 120;

/// What the header says of its own length.
const HEADER_LEN_TOLD: u32 = 116;

/// The only version of the format.
const SCHEMA_VERSION: u32 = 1;

/// The flag of the last message of a sequence.
pub const FIN: u64 = 2;

/// The flags of acknowledgements.
const ACKNOWLEDGE_FLAGS: u64 = 3;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// Client to host, in sequence.
    Input,
    /// Host to client, in sequence.
    Output,
    /// A message in sequence has arrived.
    Acknowledge,
    /// Host to client: the end.
    ChannelClosed,
    /// Send output again.
    StartPublication,
    /// Send no output for now.
    PausePublication,
}

impl MessageType {
    const ALL: [Self; 6] = [
        Self::Input,
        Self::Output,
        Self::Acknowledge,
        Self::ChannelClosed,
        Self::StartPublication,
        Self::PausePublication,
    ];

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input_stream_data",
            Self::Output => "output_stream_data",
            Self::Acknowledge => "acknowledge",
            Self::ChannelClosed => "channel_closed",
            Self::StartPublication => "start_publication",
            Self::PausePublication => "pause_publication",
        }
    }
}

/// What the payload of a message in sequence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// Bytes of the process' streams.
    Bytes,
    /// The window's size.
    Size,
    /// Host to client: what the client has to do before the session begins.
    HandshakeRequest,
    /// Client to host: what it did.
    HandshakeResponse,
    /// Host to client: the session begins.
    HandshakeComplete,
    /// Client to host: a number that says what is wanted.
    Flag,
    /// None, or one that has no meaning here.
    Other(u32),
}

impl PayloadKind {
    const fn number(self) -> u32 {
        match self {
            Self::Bytes => 1,
            Self::Size => 3,
            Self::HandshakeRequest => 5,
            Self::HandshakeResponse => 6,
            Self::HandshakeComplete => 7,
            Self::Flag => 10,
            Self::Other(number) => number,
        }
    }

    const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Bytes,
            3 => Self::Size,
            5 => Self::HandshakeRequest,
            6 => Self::HandshakeResponse,
            7 => Self::HandshakeComplete,
            10 => Self::Flag,
            other => Self::Other(other),
        }
    }
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub message_type: MessageType,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Its place in its sequence.
    pub sequence: u64,
    /// See [`FIN`].
    pub flags: u64,
    /// A UUID.
    pub id: [u8; 16],
    /// What the payload is.
    pub kind: PayloadKind,
    /// At most [`PAYLOAD_LEN_MAX`] bytes.
    pub payload: &'a [u8],
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The header is not whole, or says something else of the length.
    #[error("a message of the data channel has a length that does not fit its header")]
    Length,
    /// Longer than [`PAYLOAD_LEN_MAX`].
    #[error("a message of the data channel has more than {PAYLOAD_LEN_MAX} bytes of payload")]
    TooLong,
    /// A type or version that we do not know.
    #[error("a message of the data channel is of an unknown type or version")]
    Unknown,
    /// A sequence number below zero.
    #[error("a message of the data channel has a sequence number below zero")]
    Sequence,
    /// The payload is not the one that the header was made for.
    #[error("a message of the data channel has a payload that does not fit its digest")]
    Digest,
}

/// Takes a message from its bytes.
///
/// # Errors
/// [`MessageError`]
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, MessageError> {
    let (header, payload) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(MessageError::Length)?;
    if payload.len() > PAYLOAD_LEN_MAX {
        return Err(MessageError::TooLong);
    }
    let len = usize::try_from(u32_at(header, 116)).unwrap_or(usize::MAX);
    if u32_at(header, 0) != HEADER_LEN_TOLD || len != payload.len() {
        return Err(MessageError::Length);
    }
    let name = trimmed(&header[4..36]);
    let message_type = MessageType::ALL
        .into_iter()
        .find(|known| known.name().as_bytes() == name);
    let message_type = message_type.filter(|_| u32_at(header, 36) == SCHEMA_VERSION);
    check_digest(&header[80..112], payload)?;
    let sequence = i64::from_be_bytes(u64_at(header, 48).to_be_bytes());
    let mut id = [0; 16];
    id[..8].copy_from_slice(&header[72..80]);
    id[8..].copy_from_slice(&header[64..72]);
    Ok(Message {
        message_type: message_type.ok_or(MessageError::Unknown)?,
        created_ms: u64_at(header, 40),
        sequence: u64::try_from(sequence).map_err(|_| MessageError::Sequence)?,
        flags: u64_at(header, 56),
        id,
        kind: PayloadKind::from_number(u32_at(header, 112)),
        payload,
    })
}

/// The digest is the hash; some clients send the first half of its hexadecimal form instead.
fn check_digest(told: &[u8], payload: &[u8]) -> Result<(), MessageError> {
    let hash = Sha256::digest(payload);
    let is_hexadecimal_half = || hexadecimal(&hash[..16]).as_bytes() == told;
    if told == hash.as_slice() || is_hexadecimal_half() || payload.is_empty() {
        return Ok(());
    }
    Err(MessageError::Digest)
}

impl Message<'_> {
    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let len = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut name = [b' '; 32];
        let text = self.message_type.name().as_bytes();
        name[..text.len()].copy_from_slice(text);
        let flags = match self.message_type {
            MessageType::Acknowledge => ACKNOWLEDGE_FLAGS,
            _ => self.flags,
        };
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.payload.len());
        bytes.extend_from_slice(&HEADER_LEN_TOLD.to_be_bytes());
        bytes.extend_from_slice(&name);
        bytes.extend_from_slice(&SCHEMA_VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.created_ms.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&self.id[8..]);
        bytes.extend_from_slice(&self.id[..8]);
        bytes.extend_from_slice(&Sha256::digest(self.payload));
        bytes.extend_from_slice(&self.kind.number().to_be_bytes());
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(self.payload);
        bytes
    }
}

/// A UUID as text.
#[must_use]
pub fn uuid_text(id: &[u8; 16]) -> String {
    let text = hexadecimal(id);
    format!(
        "{}-{}-{}-{}-{}",
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..]
    )
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Without the spaces and zeros around it: clients fill up with either, before or behind.
fn trimmed(name: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, 0 | b' ');
    let start = name.iter().position(is_text).unwrap_or(name.len());
    let end = name.iter().rposition(is_text).map_or(start, |last| last + 1);
    &name[start..end]
}

fn u32_at(header: &[u8; HEADER_LEN], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[at..at + 4]);
    u32::from_be_bytes(bytes)
}

fn u64_at(header: &[u8; HEADER_LEN], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[at..at + 8]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(payload: &[u8]) -> Message<'_> {
        Message {
            message_type: MessageType::Input,
            created_ms: 7,
            sequence: 3,
            flags: 1,
            id: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
            kind: PayloadKind::Bytes,
            payload,
        }
    }

    #[test]
    fn the_header_is_as_the_clients_have_it() {
        let bytes = message(b"ls").to_bytes();
        assert_eq!(bytes.len(), 122);
        assert_eq!(bytes[..4], [0, 0, 0, 116]);
        assert_eq!(&bytes[4..36], b"input_stream_data               ");
        assert_eq!(bytes[64..80], [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(bytes[116..], [0, 0, 0, 2, b'l', b's']);
        assert_eq!(uuid_text(&message(b"").id), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    #[test]
    fn other_clients_ways_are_understood() {
        let mut bytes = message(b"ls").to_bytes();
        bytes[4..36].fill(0);
        bytes[19..36].copy_from_slice(b"input_stream_data");
        let half = hexadecimal(&Sha256::digest(b"ls")[..16]);
        bytes[80..112].copy_from_slice(half.as_bytes());
        assert_eq!(parse(&bytes), Ok(message(b"ls")));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let good = message(b"ls").to_bytes();
        let check = |at: usize, byte: u8, error| {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(parse(&bad), Err(error));
        };
        check(3, 117, MessageError::Length);
        check(4, b'x', MessageError::Unknown);
        check(39, 2, MessageError::Unknown);
        check(48, 0x80, MessageError::Sequence);
        check(80, 0, MessageError::Digest);
        check(119, 3, MessageError::Length);
        assert_eq!(parse(&good[..119]), Err(MessageError::Length));
        assert_eq!(
            parse(&vec![0; HEADER_LEN + PAYLOAD_LEN_MAX + 1]),
            Err(MessageError::TooLong)
        );
    }

    proptest! {
        #[test]
        fn a_message_survives_its_bytes(
            at in 0..6usize, created_ms: u64, sequence in 0..u64::MAX / 2, flags: u64, id: [u8; 16], kind: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..99),
        ) {
            let message_type = MessageType::ALL[at];
            let flags = if message_type == MessageType::Acknowledge { ACKNOWLEDGE_FLAGS } else { flags };
            let kind = PayloadKind::from_number(kind);
            let message = Message { message_type, created_ms, sequence, flags, id, kind, payload: &payload };
            let bytes = message.to_bytes();
            prop_assert_eq!(parse(&bytes), Ok(message));
        }

        #[test]
        fn any_bytes_are_taken_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), is_header_told: bool) {
            if is_header_told && bytes.len() >= HEADER_LEN {
                bytes[..4].copy_from_slice(&[0, 0, 0, 116]);
                let len = u32::try_from(bytes.len() - HEADER_LEN).unwrap();
                bytes[116..120].copy_from_slice(&len.to_be_bytes());
            }
            let _ = parse(&bytes);
        }
    }
}
