//! virtio-vsock packets (virtio 1.2, 5.10.6): hostile headers in, packets of stream sockets out.

/// The length of a packet's header, in bytes.
pub const HEADER_BYTES: usize = 44;
/// The largest payload of one packet, in bytes; as Linux has it.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// The host's address.
pub const HOST_CID: u64 = 2;

/// The only kind of socket there is.
pub const STREAM: u16 = 1;
const RECEIVE: u32 = 1;
const SEND: u32 = 2;

/// What names a connection: the port at each end.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ports {
    /// The guest's.
    pub guest: u32,
    /// The host's.
    pub host: u32,
}

/// How much one side can take; every packet carries it (virtio 1.2, 5.10.6.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Credit {
    /// The size of the side's buffer, in bytes.
    pub buffer_bytes: u32,
    /// How many bytes have left that buffer since the connection began, modulo 2^32.
    pub forwarded: u32,
}

/// Which directions a side has finished.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Finished {
    /// The side will receive no more.
    pub receiving: bool,
    /// The side will send no more.
    pub sending: bool,
}

impl Finished {
    /// Both directions.
    pub const BOTH: Self = Self {
        receiving: true,
        sending: true,
    };

    /// What either of the two says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            receiving: self.receiving || other.receiving,
            sending: self.sending || other.sending,
        }
    }
}

/// What a packet is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// Asks for a connection.
    Request,
    /// Grants one.
    Response,
    /// Ends or refuses one.
    Reset,
    /// Says that the sender has finished a direction.
    Shutdown(Finished),
    /// Carries payload.
    Data {
        /// Its length.
        bytes: usize,
    },
    /// Carries news of the sender's credit, as all do.
    CreditUpdate,
    /// Asks for such news.
    CreditRequest,
}

/// A packet of a stream socket, on its way between guest and host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet {
    /// The connection it belongs to.
    pub ports: Ports,
    /// What it is for.
    pub operation: Operation,
    /// How much its sender can take.
    pub credit: Credit,
}

/// What to do with bytes that are no packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Nothing: they do not come from this guest, are not for the host, or must not be answered.
    Ignore,
    /// Answer with a reset of this connection of this kind of socket.
    Reset {
        /// The connection.
        ports: Ports,
        /// The kind, as the guest gave it.
        kind: u16,
    },
}

/// Reads the header of a packet that the guest with the address `guest_cid` sends. Behind the header there are
/// `available` bytes.
///
/// # Errors
///
/// When there is nothing the header could mean.
pub fn parse(header: &[u8; HEADER_BYTES], available: usize, guest_cid: u64) -> Result<Packet, Refusal> {
    let mut fields = Fields { bytes: header, at: 0 };
    let (source_cid, destination_cid) = (fields.u64(), fields.u64());
    let ports = Ports {
        guest: fields.u32(),
        host: fields.u32(),
    };
    let payload_bytes = fields.u32();
    let (kind, operation, flags) = (fields.u16(), fields.u16(), fields.u32());
    let credit = Credit {
        buffer_bytes: fields.u32(),
        forwarded: fields.u32(),
    };

    let operation = operation_of(operation, flags, payload_bytes, available);
    if source_cid != guest_cid || destination_cid != HOST_CID {
        return Err(Refusal::Ignore);
    }
    match operation {
        Some(operation) if kind == STREAM => Ok(Packet {
            ports,
            operation,
            credit,
        }),
        // A reset is never answered with a reset, or two sides could go on for ever.
        Some(Operation::Reset) => Err(Refusal::Ignore),
        _ => Err(Refusal::Reset { ports, kind }),
    }
}

fn operation_of(number: u16, flags: u32, payload_bytes: u32, available: usize) -> Option<Operation> {
    match number {
        1 => Some(Operation::Request),
        2 => Some(Operation::Response),
        3 => Some(Operation::Reset),
        4 => Some(Operation::Shutdown(Finished {
            receiving: flags & RECEIVE != 0,
            sending: flags & SEND != 0,
        })),
        5 => {
            let bytes = usize::try_from(payload_bytes).ok()?;
            (bytes <= available.min(PAYLOAD_BYTES_MAX)).then_some(Operation::Data { bytes })
        }
        6 => Some(Operation::CreditUpdate),
        7 => Some(Operation::CreditRequest),
        _ => None,
    }
}

impl Packet {
    /// The header of this packet on its way from the host to the guest with the address `guest_cid`.
    #[must_use]
    pub fn header(&self, guest_cid: u64) -> [u8; HEADER_BYTES] {
        let (number, flags, bytes) = match self.operation {
            Operation::Request => (1, 0, 0),
            Operation::Response => (2, 0, 0),
            Operation::Reset => (3, 0, 0),
            Operation::Shutdown(finished) => {
                let receiving = if finished.receiving { RECEIVE } else { 0 };
                let sending = if finished.sending { SEND } else { 0 };
                (4, receiving | sending, 0)
            }
            // No payload is longer than `PAYLOAD_BYTES_MAX`.
            Operation::Data { bytes } => (5, 0, u32::try_from(bytes).unwrap_or(0)),
            Operation::CreditUpdate => (6, 0, 0),
            Operation::CreditRequest => (7, 0, 0),
        };
        encode(guest_cid, self.ports, (STREAM, number, flags), bytes, self.credit)
    }
}

/// The header of a reset of a connection that does not exist, for a kind of socket that need not exist.
#[must_use]
pub fn stray_reset(guest_cid: u64, ports: Ports, kind: u16) -> [u8; HEADER_BYTES] {
    encode(guest_cid, ports, (kind, 3, 0), 0, Credit::default())
}

fn encode(
    guest_cid: u64,
    ports: Ports,
    (kind, operation, flags): (u16, u16, u32),
    bytes: u32,
    credit: Credit,
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let mut at = 0;
    let mut put = |field: &[u8]| {
        header[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    };
    put(&HOST_CID.to_le_bytes());
    put(&guest_cid.to_le_bytes());
    put(&ports.host.to_le_bytes());
    put(&ports.guest.to_le_bytes());
    put(&bytes.to_le_bytes());
    put(&kind.to_le_bytes());
    put(&operation.to_le_bytes());
    put(&flags.to_le_bytes());
    put(&credit.buffer_bytes.to_le_bytes());
    put(&credit.forwarded.to_le_bytes());
    header
}

/// Takes little-endian fields off a header, one behind the other.
struct Fields<'a> {
    bytes: &'a [u8; HEADER_BYTES],
    at: usize,
}

impl Fields<'_> {
    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        field
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GUEST_CID: u64 = 3;
    const PORTS: Ports = Ports { guest: 1024, host: 80 };

    /// A header as a guest writes it.
    fn from_guest(cids: (u64, u64), kind: u16, operation: u16, flags: u32, bytes: u32) -> [u8; HEADER_BYTES] {
        let credit = Credit {
            buffer_bytes: 9,
            forwarded: 8,
        };
        let swapped = Ports {
            guest: PORTS.host,
            host: PORTS.guest,
        };
        let mut header = encode(0, swapped, (kind, operation, flags), bytes, credit);
        header[..8].copy_from_slice(&cids.0.to_le_bytes());
        header[8..16].copy_from_slice(&cids.1.to_le_bytes());
        header
    }

    fn check(operation: u16, flags: u32, bytes: u32, expected: Option<Operation>) {
        let header = from_guest((GUEST_CID, HOST_CID), STREAM, operation, flags, bytes);
        let expected = expected
            .map(|operation| Packet {
                ports: PORTS,
                operation,
                credit: Credit {
                    buffer_bytes: 9,
                    forwarded: 8,
                },
            })
            .ok_or(Refusal::Reset {
                ports: PORTS,
                kind: STREAM,
            });
        assert_eq!(parse(&header, 100, GUEST_CID), expected);
    }

    #[test]
    fn the_seven_operations() {
        check(1, 0, 0, Some(Operation::Request));
        check(2, 0, 0, Some(Operation::Response));
        check(3, 0, 0, Some(Operation::Reset));
        check(4, 0, 0, Some(Operation::Shutdown(Finished::default())));
        check(
            4,
            1,
            0,
            Some(Operation::Shutdown(Finished {
                receiving: true,
                sending: false,
            })),
        );
        check(
            4,
            2,
            0,
            Some(Operation::Shutdown(Finished {
                receiving: false,
                sending: true,
            })),
        );
        check(4, u32::MAX, 0, Some(Operation::Shutdown(Finished::BOTH)));
        check(5, 0, 100, Some(Operation::Data { bytes: 100 }));
        check(6, 0, 0, Some(Operation::CreditUpdate));
        check(7, 0, 0, Some(Operation::CreditRequest));
    }

    #[test]
    fn unknown_operations_are_reset() {
        check(0, 0, 0, None);
        check(8, 0, 0, None);
        check(u16::MAX, 0, 0, None);
    }

    #[test]
    fn a_payload_that_is_not_there_is_reset() {
        check(5, 0, 101, None);
        check(5, 0, u32::MAX, None);
    }

    #[test]
    fn a_payload_beyond_the_limit_is_reset() {
        let bytes = u32::try_from(PAYLOAD_BYTES_MAX).unwrap() + 1;
        let header = from_guest((GUEST_CID, HOST_CID), STREAM, 5, 0, bytes);
        let refusal = Refusal::Reset {
            ports: PORTS,
            kind: STREAM,
        };
        assert_eq!(parse(&header, usize::MAX, GUEST_CID), Err(refusal));
    }

    #[test]
    fn other_addresses_are_ignored() {
        for cids in [
            (4, HOST_CID),
            (GUEST_CID, 1),
            (HOST_CID, GUEST_CID),
            (u64::MAX, u64::MAX),
        ] {
            let header = from_guest(cids, STREAM, 1, 0, 0);
            assert_eq!(parse(&header, 0, GUEST_CID), Err(Refusal::Ignore));
        }
    }

    #[test]
    fn other_sockets_are_reset_in_kind_and_their_resets_ignored() {
        let header = from_guest((GUEST_CID, HOST_CID), 2, 1, 0, 0);
        assert_eq!(
            parse(&header, 0, GUEST_CID),
            Err(Refusal::Reset { ports: PORTS, kind: 2 })
        );
        let header = from_guest((GUEST_CID, HOST_CID), 2, 3, 0, 0);
        assert_eq!(parse(&header, 0, GUEST_CID), Err(Refusal::Ignore));
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_harm(bytes: [u8; HEADER_BYTES], available: usize, right: bool) {
            let mut header = bytes;
            if right {
                header[..8].copy_from_slice(&GUEST_CID.to_le_bytes());
                header[8..16].copy_from_slice(&HOST_CID.to_le_bytes());
            }
            if let Ok(Packet { operation: Operation::Data { bytes }, .. }) = parse(&header, available, GUEST_CID) {
                prop_assert!(bytes <= available && bytes <= PAYLOAD_BYTES_MAX);
            }
        }

        #[test]
        fn what_is_sent_is_what_the_other_side_reads(
            guest: u32, host: u32, buffer_bytes: u32, forwarded: u32,
            operation in prop_oneof![
                Just(Operation::Request), Just(Operation::Response), Just(Operation::Reset),
                Just(Operation::CreditUpdate), Just(Operation::CreditRequest),
                (any::<bool>(), any::<bool>())
                    .prop_map(|(receiving, sending)| Operation::Shutdown(Finished { receiving, sending })),
                (0usize..=PAYLOAD_BYTES_MAX).prop_map(|bytes| Operation::Data { bytes }),
            ],
        ) {
            let credit = Credit { buffer_bytes, forwarded };
            let packet = Packet { ports: Ports { guest, host }, operation, credit };
            let mut header = packet.header(GUEST_CID);
            // The other side sees itself as the destination: swap the ends to read the packet as its own.
            header[..8].copy_from_slice(&GUEST_CID.to_le_bytes());
            header[8..16].copy_from_slice(&HOST_CID.to_le_bytes());
            let seen = Packet { ports: Ports { guest: host, host: guest }, ..packet };
            prop_assert_eq!(parse(&header, PAYLOAD_BYTES_MAX, GUEST_CID), Ok(seen));
        }
    }
}
