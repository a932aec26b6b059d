//! Frames between the processes of a host and its guests: a message that is read writes and reads back.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use protocol::frame::{
    FRAME_LEN_MAX, HEADER_LEN, Kind, encode, parse, parse_header, parse_kind, parse_piece, piece_header, read,
};
use protocol::{guest, vmm};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn check<T: Debug + DeserializeOwned + PartialEq + Serialize>(bytes: &[u8]) {
    let Ok(message) = parse::<T>(bytes) else { return };
    let encoded = encode(&message).expect("a message that was read");
    let (header, body) = encoded.split_first_chunk::<HEADER_LEN>().expect("a header");
    assert_eq!(parse_header(*header).expect("a short message"), body.len());
    assert_eq!(read::<T>(&mut encoded.as_slice()).expect("a frame"), Some(message));
}

fn check_piece(bytes: &[u8]) {
    let Ok(piece) = parse_piece(bytes) else { return };
    let Ok(encoded) = piece_header(&piece) else { return };
    let (header, rest) = encoded.split_first_chunk::<HEADER_LEN>().expect("a header");
    assert_eq!(parse_kind(*header).expect("a short piece"), Kind::Piece(bytes.len()));
    assert_eq!([rest, piece.content].concat(), bytes);
}

fuzz_target!(|bytes: &[u8]| {
    check::<guest::ToGuest>(bytes);
    check::<guest::ToHost>(bytes);
    check_piece(bytes);
    check::<vmm::Config>(bytes);
    check::<vmm::Request>(bytes);
    check::<vmm::Event>(bytes);
    if let Some(header) = bytes.first_chunk::<HEADER_LEN>() {
        assert_eq!(
            parse_header(*header).is_ok(),
            u32::from_le_bytes(*header) <= FRAME_LEN_MAX
        );
    }
    let _ = read::<guest::ToHost>(&mut &*bytes);
});
