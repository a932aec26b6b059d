//! A question for a name, and answers to it (RFC 1035, 4): bytes of a stranger in, bytes out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::HEADER_LEN;

/// The longest label, and the longest name with the lengths of its labels (RFC 1035, 2.3.4).
const LABEL_LEN_MAX: usize = 63;
const NAME_LEN_MAX: usize = 255;

/// The kinds of records that are known here (RFC 1035, 3.2.2; RFC 3596, 2.1).
const KIND_ADDRESS: u16 = 1;
const KIND_POINTER: u16 = 12;
const KIND_ADDRESS_IPV6: u16 = 28;

/// The Internet (RFC 1035, 3.2.4).
const CLASS_INTERNET: u16 = 1;

/// How long an answer may be kept, in seconds: names come and go with tasks.
const TTL_SECONDS: u32 = 5;

/// The most addresses in an answer: one by UDP stays shorter than what every client takes (RFC 1035, 4.2.1).
const ADDRESSES_MAX: usize = 8;

/// A pointer to the name in the question, which follows the header (RFC 1035, 4.1.4).
const NAME_OF_QUESTION: [u8; 2] = [0xc0, 12];

/// What an address is asked for by, to get a name (RFC 1035, 3.5; RFC 3596, 2.5).
const REVERSE: &str = ".in-addr.arpa";
const REVERSE_IPV6: &str = ".ip6.arpa";

/// A question that is understood: one, about a name of usual characters on the Internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The name in small letters, without the last dot.
    pub name: String,
    kind: u16,
    /// Header and question, as they came.
    asked: &'a [u8],
}

impl<'a> Question<'a> {
    /// Reads a message; `None` where it is something else, or more.
    #[must_use]
    pub fn parse(message: &'a [u8]) -> Option<Self> {
        let header = message.get(..HEADER_LEN)?;
        // Neither an answer, nor anything but a usual question (`QR`, `Opcode`); one question, and no answers.
        if header[2] & 0xf8 != 0 || header[4..8] != [0, 1, 0, 0] {
            return None;
        }
        let (mut name, mut at) = (String::new(), HEADER_LEN);
        loop {
            let len = usize::from(*message.get(at)?);
            at += 1;
            if len == 0 {
                break;
            }
            // Anything longer is a pointer, which a question has no use for.
            let label = message.get(at..at + len).filter(|_| len <= LABEL_LEN_MAX)?;
            if !label.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.') {
                return None;
            }
            at += len;
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            if name.len() + 2 > NAME_LEN_MAX {
                return None;
            }
        }
        let [kind_high, kind_low, class_high, class_low] = *message.get(at..at + 4)? else {
            return None;
        };
        let kind = u16::from_be_bytes([kind_high, kind_low]);
        let is_internet = u16::from_be_bytes([class_high, class_low]) == CLASS_INTERNET;
        let asked = message.get(..at + 4).filter(|_| is_internet)?;
        Some(Self { name, kind, asked })
    }

    /// The address whose name is asked for.
    #[must_use]
    pub fn reversed(&self) -> Option<IpAddr> {
        if self.kind != KIND_POINTER {
            return None;
        }
        if let Some(nibbles) = self.name.strip_suffix(REVERSE_IPV6) {
            return from_nibbles(nibbles).map(IpAddr::V6);
        }
        let backwards: Ipv4Addr = self.name.strip_suffix(REVERSE)?.parse().ok()?;
        let [d, c, b, a] = backwards.octets();
        Some(Ipv4Addr::new(a, b, c, d).into())
    }

    /// That the name has these addresses, as far as they are of the kind that was asked for; nothing where something else was.
    #[must_use]
    pub fn with_addresses(&self, addresses: &[IpAddr]) -> Vec<u8> {
        let asked = addresses.iter().filter_map(|address| match (address, self.kind) {
            (IpAddr::V4(address), KIND_ADDRESS) => Some(address.octets().to_vec()),
            (IpAddr::V6(address), KIND_ADDRESS_IPV6) => Some(address.octets().to_vec()),
            _ => None,
        });
        self.answer(&asked.take(ADDRESSES_MAX).collect::<Vec<_>>())
    }

    /// That the address has this name; nothing where it cannot be written down.
    #[must_use]
    pub fn with_name(&self, name: &str) -> Vec<u8> {
        let contents: Vec<Vec<u8>> = written(name).into_iter().collect();
        self.answer(&contents)
    }

    fn answer(&self, contents: &[Vec<u8>]) -> Vec<u8> {
        let mut message = self.asked.to_vec();
        // Both ends of `QR Opcode AA TC RD`, `RA Z RCODE`: an answer of who knows, that goes on to others, without a failure.
        message[2] = message[2] & 0x01 | 0x84;
        message[3] = 0x80;
        let count = u16::try_from(contents.len()).unwrap_or_default();
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message[8..HEADER_LEN].fill(0);
        for content in contents {
            let len = u16::try_from(content.len()).unwrap_or_default();
            message.extend(NAME_OF_QUESTION);
            message.extend(self.kind.to_be_bytes());
            message.extend(CLASS_INTERNET.to_be_bytes());
            message.extend(TTL_SECONDS.to_be_bytes());
            message.extend(len.to_be_bytes());
            message.extend(content);
        }
        message
    }
}

/// The address of which these are the hexadecimal digits, the last one first, with dots between them.
fn from_nibbles(text: &str) -> Option<Ipv6Addr> {
    let mut address = 0;
    let mut count = 0;
    for nibble in text.rsplit('.') {
        let digit = u128::from_str_radix(nibble, 16).ok().filter(|_| nibble.len() == 1)?;
        address = address << 4 | digit;
        count += 1;
    }
    (count == 32).then(|| address.into())
}

/// A name as messages have it; `None` where it is no name there.
fn written(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for label in name.split('.') {
        let len = u8::try_from(label.len()).ok();
        bytes.push(len.filter(|len| (1..=LABEL_LEN_MAX).contains(&usize::from(*len)))?);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= NAME_LEN_MAX).then_some(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    const WEB: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 30, 0, 2));
    const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

    /// A question for this name and kind.
    pub(in crate::dns) fn question(name: &str, kind: u16) -> Vec<u8> {
        let header = [7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        [&header[..], &written(name).unwrap(), &kind.to_be_bytes(), &[0, 1]].concat()
    }

    #[test]
    fn a_name_is_read_in_small_letters_and_answered_as_it_was_asked() {
        let asked = question("Web.Front", 1);
        let read = Question::parse(&asked).unwrap();
        assert_eq!(read.name, "web.front");
        let answer = read.with_addresses(&[WEB]);
        assert_eq!(answer[..12], [7, 9, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answer[12..asked.len()], asked[12..]);
        let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 172, 30, 0, 2];
        assert_eq!(answer[asked.len()..], record);
    }

    #[test]
    fn a_name_without_what_is_asked_for_has_an_empty_answer() {
        let asked = question("web", 28);
        let answer = Question::parse(&asked).unwrap().with_addresses(&[WEB]);
        assert_eq!(
            (&answer[3..4], &answer[6..8], answer.len()),
            (&[0x80][..], &[0, 0][..], asked.len())
        );
    }

    #[test]
    fn each_kind_of_addresses_is_asked_for_by_itself() {
        for (kind, address) in [(1, WEB), (28, LOOPBACKS[1])] {
            let asked = question("web", kind);
            let answer = Question::parse(&asked).unwrap().with_addresses(&[LOOPBACKS[1], WEB]);
            let expected = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            assert_eq!(answer[6..8], [0, 1]);
            assert!(answer.ends_with(&expected), "{address}");
        }
    }

    #[test]
    fn an_ipv6_address_is_asked_for_backwards_by_its_digits() {
        let check = |digits: &str, expected: Option<&str>| {
            let asked = question(&format!("{digits}.ip6.arpa"), 12);
            let found = Question::parse(&asked)
                .unwrap()
                .reversed()
                .map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{digits}");
        };
        let zeros = "0.".repeat(26);
        check(&format!("2.a.{zeros}0.0.d.f"), Some("fd00::a2"));
        check(&format!("2.A.{zeros}0.0.d.F"), Some("fd00::a2"));
        for digits in [
            format!("2.{zeros}0.0.d.f"),
            format!("22.a.{zeros}0.0.d.f"),
            format!("+.a.{zeros}0.0.d.f"),
        ] {
            check(&digits, None);
        }
    }

    #[test]
    fn an_address_is_asked_for_backwards() {
        let asked = question("2.0.30.172.in-addr.arpa", 12);
        let read = Question::parse(&asked).unwrap();
        assert_eq!(read.reversed(), Some(WEB));
        assert!(read.with_name("web.front").ends_with(b"\x03web\x05front\0"));
        // What cannot be written down is left out.
        assert_eq!(read.with_name(&"a".repeat(64)).len(), asked.len());
        for (name, kind) in [("2.0.30.172.in-addr.arpa", 1), ("2.0.30.in-addr.arpa", 12), ("web", 12)] {
            assert_eq!(
                Question::parse(&question(name, kind)).unwrap().reversed(),
                None,
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_no_usual_question_is_not_understood() {
        let asked = question("web", 1);
        let changed = |at: usize, byte: u8| {
            let mut asked = asked.clone();
            asked[at] = byte;
            asked
        };
        // An answer, another operation, no question, two, an answer in it, a pointer, a dot, another class.
        for (at, byte) in [
            (2, 0x81),
            (2, 0x28),
            (5, 0),
            (5, 2),
            (7, 1),
            (12, 0xc0),
            (13, b'.'),
            (20, 3),
        ] {
            assert_eq!(Question::parse(&changed(at, byte)), None, "{at} {byte}");
        }
        for len in 0..asked.len() {
            assert_eq!(Question::parse(&asked[..len]), None, "{len}");
        }
        let long = [
            &asked[..12],
            &[&[63][..], &[b'a'; 63]].concat().repeat(4),
            &[0, 0, 1, 0, 1],
        ]
        .concat();
        assert_eq!(Question::parse(&long), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_within_bounds(message in prop::collection::vec(any::<u8>(), 0..300), whole: bool) {
            let header = [1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            let message = if whole { [&header[..], &message].concat() } else { message };
            if let Some(question) = Question::parse(&message) {
                prop_assert!(question.name.len() < NAME_LEN_MAX);
                let answer = question.with_addresses(&LOOPBACKS.repeat(20));
                prop_assert!(answer.len() < 512);
                prop_assert_eq!(&answer[..2], &message[..2]);
                let _ = question.reversed();
            }
        }

        #[test]
        fn names_come_back(name in "[a-z0-9_-]{1,20}(\\.[a-z0-9_-]{1,20}){0,5}", kind: u16) {
            let asked = question(&name, kind);
            let read = Question::parse(&asked).unwrap();
            prop_assert_eq!((read.name, read.kind), (name, kind));
        }
    }
}
