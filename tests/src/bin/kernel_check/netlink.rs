//! Netlink messages, as far as the checks need them: interfaces, and the rules of nftables.

use std::io;

use crate::system;

const ACKNOWLEDGE: u16 = 0x4;
const CREATE: u16 = 0x400;
const REQUEST: u16 = 0x1;
const HEADER_LEN: usize = 16;
const NFTABLES: u16 = 10;

/// An attribute: its length, its type, its value, and zeros up to a multiple of four.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A string with its closing zero.
pub fn string(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_LEN + body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(body);
    bytes
}

/// Sends `bytes` and turns an error in the answer into one of ours.
fn request(protocol: i32, bytes: &[u8]) -> io::Result<()> {
    const ERROR: [u8; 2] = [2, 0];
    let socket = system::socket(libc::AF_NETLINK, libc::SOCK_RAW, protocol)?;
    let answer = system::exchange(&socket, bytes)?;
    let number = answer
        .get(HEADER_LEN..HEADER_LEN + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes);
    match (answer.get(4..6), number) {
        (Some(kind), Some(number)) if kind == ERROR && number != 0 => Err(io::Error::from_raw_os_error(-number)),
        (Some(_), _) => Ok(()),
        (None, _) => Err(io::Error::other("the answer has no header")),
    }
}

/// Makes interface `name` of `kind`, above the interface with index `parent` where it needs one.
pub fn create_interface(name: &str, kind: &str, parent: Option<u32>) -> io::Result<()> {
    const NEW_LINK: u16 = 16;
    const LINK_MESSAGE: [u8; 16] = [0; 16];
    let mut body = LINK_MESSAGE.to_vec();
    body.extend(string(3, name));
    if let Some(index) = parent {
        body.extend(attribute(5, &index.to_ne_bytes()));
    }
    body.extend(attribute(18, &string(1, kind)));
    request(libc::NETLINK_ROUTE, &message(NEW_LINK, ACKNOWLEDGE | CREATE, &body))
}

/// Gives the interface with this index its hardware address, brings it up, and gives it an address whose network is the first three bytes.
pub fn set_interface_up(index: u32, hardware: [u8; 6], address: [u8; 4]) -> io::Result<()> {
    const NEW_LINK: u16 = 16;
    const NEW_ADDRESS: u16 = 20;
    // struct ifinfomsg: family and type, index, flags and which of them change.
    let mut body = [[0; 4], index.to_ne_bytes(), [1, 0, 0, 0], [1, 0, 0, 0]].concat();
    body.extend(attribute(1, &hardware));
    request(libc::NETLINK_ROUTE, &message(NEW_LINK, ACKNOWLEDGE, &body))?;
    // struct ifaddrmsg: family, prefix, flags, scope, index.
    let mut body = [[2, 24, 0, 0], index.to_ne_bytes()].concat();
    body.extend(attribute(2, &address));
    body.extend(attribute(1, &address));
    request(libc::NETLINK_ROUTE, &message(NEW_ADDRESS, ACKNOWLEDGE | CREATE, &body))
}

/// Asks for the generation of nftables' rules.
pub fn nftables_generation() -> io::Result<()> {
    request(libc::NETLINK_NETFILTER, &message(NFTABLES << 8 | 16, 0, &[0; 4]))
}

/// Does one thing to nftables, in a batch of its own as the kernel wants it.
pub fn nftables(family: u8, kind: u16, attributes: &[u8]) -> io::Result<()> {
    const BEGIN: u16 = 16;
    const END: u16 = 17;
    let frame = [0, 0, 0, 10];
    let body = [&[family, 0, 0, 0], attributes].concat();
    let change = message(NFTABLES << 8 | kind, ACKNOWLEDGE | CREATE, &body);
    request(
        libc::NETLINK_NETFILTER,
        &[message(BEGIN, 0, &frame), change, message(END, 0, &frame)].concat(),
    )
}
