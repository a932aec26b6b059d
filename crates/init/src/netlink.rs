//! Messages to the kernel's routing (rtnetlink(7)), several at once: one call sends them, one answer tells of the first that failed.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with};

/// The length of `struct nlmsghdr`.
const HEADER_LEN: usize = 16;

/// Where a header has its flags.
const FLAGS_AT: usize = 6;

/// Enough for an answer, which repeats the header of what it answers and says why.
const ANSWER_LEN_MAX: usize = 1024;

/// A socket to the kernel's routing.
#[derive(Debug)]
pub struct Routing(OwnedFd);

impl Routing {
    /// Opens one.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open() -> io::Result<Self> {
        // NETLINK_ROUTE is zero.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        // Zero lets the kernel choose our address.
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Has the kernel do all of `batch`, in order.
    ///
    /// # Errors
    /// The first refusal, with the number of its message; what came before it, and behind it, may have been done.
    pub fn perform(&self, batch: &Batch) -> Result<(), (usize, io::Error)> {
        let failed = |error: rustix::io::Errno| (0, error.into());
        send(&self.0, &batch.finished(), SendFlags::empty()).map_err(failed)?;
        let mut answer = [0; ANSWER_LEN_MAX];
        let (len, _) = recv(&self.0, &mut answer, RecvFlags::empty()).map_err(failed)?;
        match refusal(&answer[..len]) {
            None => Ok(()),
            Some((message, error)) => {
                // Behind an early refusal come others, of messages that build on it, and what the last message's sender asked for.
                while recv(&self.0, &mut answer, RecvFlags::DONTWAIT).is_ok() {}
                Err((message, error))
            }
        }
    }
}

/// What an answer refuses: the number of the message, and why; `None` where it refuses nothing.
fn refusal(answer: &[u8]) -> Option<(usize, io::Error)> {
    let word = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let (Some(message), Some(error)) = (word(8), word(HEADER_LEN)) else {
        return Some((0, io::ErrorKind::UnexpectedEof.into()));
    };
    let number = error.cast_signed();
    let message = usize::try_from(message).unwrap_or(usize::MAX);
    (number != 0).then(|| (message, io::Error::from_raw_os_error(number.wrapping_neg())))
}

/// Messages in the order in which they are to be done; their numbers count from 0.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    begins: Vec<usize>,
}

impl Batch {
    /// Appends a message of this kind: `fixed` is the structure that it begins with, attributes follow.
    pub fn message(&mut self, kind: u16, flags: u16, fixed: &[u8]) -> &mut Self {
        self.finish_last();
        let number = u32::try_from(self.begins.len()).unwrap_or(u32::MAX);
        self.begins.push(self.bytes.len());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes
            .extend((flags | u16::try_from(libc::NLM_F_REQUEST).unwrap_or(1)).to_ne_bytes());
        self.bytes.extend(number.to_ne_bytes());
        self.bytes.extend(0_u32.to_ne_bytes());
        self.pad(fixed);
        self
    }

    /// Appends an attribute to the last message.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.pad(value);
        self
    }

    /// Appends an attribute that is an address.
    pub fn address(&mut self, kind: u16, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => self.attribute(kind, &address.octets()),
            IpAddr::V6(address) => self.attribute(kind, &address.octets()),
        }
    }

    /// How many messages there are.
    pub fn count(&self) -> usize {
        self.begins.len()
    }

    fn pad(&mut self, value: &[u8]) {
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish_last(&mut self) {
        if let Some(&begin) = self.begins.last() {
            let length = u32::try_from(self.bytes.len() - begin).unwrap_or(u32::MAX);
            self.bytes[begin..begin + 4].copy_from_slice(&length.to_ne_bytes());
        }
    }

    /// The messages, the last of which asks for an answer in any case.
    fn finished(&self) -> Vec<u8> {
        let mut all = Self {
            bytes: self.bytes.clone(),
            begins: self.begins.clone(),
        };
        all.finish_last();
        if let Some(&begin) = all.begins.last() {
            all.bytes[begin + FLAGS_AT] |= u8::try_from(libc::NLM_F_ACK).unwrap_or(4);
        }
        all.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_measured_and_numbered_and_the_last_wants_an_answer() {
        let mut batch = Batch::default();
        batch.message(16, 0, &[1; 16]).attribute(1, &[9; 6]);
        batch.message(20, 0x400, &[2; 8]);
        let bytes = batch.finished();
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        // 16 of header, 16 of structure, 4 and 6 of attribute, padded to 12.
        assert_eq!((half(0), half(4), half(6), half(8)), (44, 16, 1, 0));
        assert_eq!((half(32), half(34)), (10, 1));
        assert_eq!((half(44), half(48), half(50), half(52)), (24, 20, 0x405, 1));
        assert_eq!(bytes.len(), 68);
    }

    #[test]
    fn an_answer_tells_which_message_was_refused_and_why() {
        let answer = |number: u32, error: i32| {
            let mut bytes = vec![0; 36];
            bytes[8..12].copy_from_slice(&number.to_ne_bytes());
            bytes[16..20].copy_from_slice(&error.to_ne_bytes());
            bytes
        };
        assert!(refusal(&answer(2, 0)).is_none());
        let (number, error) = refusal(&answer(2, -libc::EEXIST)).unwrap();
        assert_eq!((number, error.raw_os_error()), (2, Some(libc::EEXIST)));
        assert!(refusal(&[0; 10]).is_some());
    }
}
