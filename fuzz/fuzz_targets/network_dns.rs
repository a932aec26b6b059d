//! A guest's question for a name: what is understood is answered with the same number and question, and within what every client takes.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use network::dns::{Names, Question};

/// What an answer by UDP may have without further agreement (RFC 1035, 4.2.1).
const DATAGRAM_LEN_MAX: usize = 512;

fuzz_target!(|message: &[u8]| {
    let names = Names::new("front");
    names.put(Ipv4Addr::new(172, 30, 0, 2), Some(Ipv6Addr::LOCALHOST), "web");
    if let Some(answer) = names.answer(message) {
        assert_eq!(answer[..2], message[..2]);
    }
    let Some(question) = Question::parse(message) else {
        return;
    };
    let _ = question.reversed();
    for answer in [
        question.with_addresses(&[IpAddr::V6(Ipv6Addr::LOCALHOST); 100]),
        question.with_name(&question.name),
    ] {
        assert!(answer[2] & 0x80 != 0 && answer[..2] == message[..2]);
    }
    assert!(question.with_addresses(&[IpAddr::V6(Ipv6Addr::LOCALHOST); 100]).len() <= DATAGRAM_LEN_MAX);
});
