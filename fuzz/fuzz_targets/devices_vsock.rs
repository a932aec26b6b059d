//! Packets of a guest and greetings of host programs.
#![no_main]

use devices::vsock::greeting::{self, GREETING_BYTES_MAX, Greeting};
use devices::vsock::packet::{self, HEADER_BYTES, HOST_CID, Operation, PAYLOAD_BYTES_MAX, Ports};
use libfuzzer_sys::fuzz_target;

const GUEST_CID: u64 = 3;

fn check_greeting(bytes: &[u8]) {
    if let Greeting::Connect { port, bytes: used } = greeting::parse(bytes) {
        assert!(used <= bytes.len().min(GREETING_BYTES_MAX));
        let line = format!("CONNECT {port}\n");
        let expected = Greeting::Connect {
            port,
            bytes: line.len(),
        };
        assert_eq!(greeting::parse(line.as_bytes()), expected);
    }
}

/// A packet that is read is one that the host could have sent, were the ends swapped.
fn check_packet(header: &[u8; HEADER_BYTES], available: usize) {
    let Ok(packet) = packet::parse(header, available, GUEST_CID) else {
        return;
    };
    if let Operation::Data { bytes } = packet.operation {
        assert!(bytes <= available && bytes <= PAYLOAD_BYTES_MAX);
    }
    let mut header = packet.header(GUEST_CID);
    header[..8].copy_from_slice(&GUEST_CID.to_le_bytes());
    header[8..16].copy_from_slice(&HOST_CID.to_le_bytes());
    let mut swapped = packet;
    swapped.ports = Ports {
        guest: packet.ports.host,
        host: packet.ports.guest,
    };
    assert_eq!(packet::parse(&header, available, GUEST_CID), Ok(swapped));
}

fuzz_target!(|bytes: &[u8]| {
    check_greeting(bytes);
    if let Some((header, payload)) = bytes.split_first_chunk() {
        check_packet(header, payload.len());
    }
});
