//! A template's state, with its checksum put right: what is read writes the same bytes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use state::State;

#[path = "../../crates/vmm/src/bytes.rs"]
mod bytes;

#[path = "../../crates/vmm/src/template/state.rs"]
mod state;

/// What the state is made of.
#[path = "vmm/x86_64.rs"]
mod x86_64;

fuzz_target!(|input: (bool, &[u8])| {
    let (is_sealed, content) = input;
    if !is_sealed {
        let _ = State::parse(content);
        return;
    }
    let mut bytes = b"mote-t02".to_vec();
    bytes.extend(crc32fast::hash(content).to_le_bytes());
    bytes.extend(content);
    if let Ok(state) = State::parse(&bytes) {
        assert_eq!(
            State::parse(&state.encode()).expect("as written").encode(),
            state.encode()
        );
    }
});
