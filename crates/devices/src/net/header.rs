//! The header in front of each frame (virtio 1.2, 5.1.6): hostile bytes in, what the host's kernel may be asked for out.

/// The length of a header, in bytes.
pub const HEADER_BYTES: usize = 12;

/// The length of an Ethernet header: no frame is shorter.
pub const FRAME_BYTES_MIN: usize = 14;

/// The largest frame, in bytes: an IP packet of the largest length, an Ethernet header and a VLAN tag.
pub const FRAME_BYTES_MAX: usize = 65_535 + FRAME_BYTES_MIN + 4;

/// Where the number of buffers is in the header of a frame for the guest.
pub(super) const BUFFERS_AT: usize = 10;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`.
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV4`.
const TCP4: u8 = 1;
/// `VIRTIO_NET_HDR_GSO_TCPV6`.
const TCP6: u8 = 4;
/// `VIRTIO_NET_HDR_GSO_ECN`, beside one of the others.
const ECN: u8 = 0x80;

/// What the sender of a frame may leave to others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Offloads {
    /// The checksum of TCP and UDP.
    pub checksum: bool,
    /// To cut a segment of TCP over IPv4.
    pub tso4: bool,
    /// The same over IPv6.
    pub tso6: bool,
    /// To cut one that says so of congestion.
    pub ecn: bool,
}

/// A checksum that is left to others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Checksum {
    /// From where on the frame is summed up.
    pub start: u16,
    /// Where the sum goes, counted from there.
    pub offset: u16,
}

/// A segment that others have to cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment {
    /// The kind, `VIRTIO_NET_HDR_GSO_*`.
    pub kind: u8,
    /// The payload of each piece, in bytes; not zero.
    pub piece_bytes: u16,
    /// How long all headers are together: a hint.
    pub headers_bytes: u16,
}

/// What is left to others for one frame.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// The checksum.
    pub checksum: Option<Checksum>,
    /// The cutting, which leaves the checksum to others too.
    pub segment: Option<Segment>,
}

/// Why a frame is not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// It is no frame, or none that fits anywhere.
    #[error("a frame of {bytes} bytes; there are {FRAME_BYTES_MIN} to {FRAME_BYTES_MAX}")]
    Length {
        /// Its length.
        bytes: usize,
    },
    /// The sum or its place lies behind the frame's end.
    #[error("the checksum lies behind the frame's end")]
    ChecksumOutside,
    /// It asks for something that was not agreed on.
    #[error("the frame asks for what was not offered")]
    NotOffered,
    /// It is to be cut into nothing, or without a checksum.
    #[error("the frame cannot be cut")]
    Uncuttable,
}

/// Reads the header of a frame of `frame_bytes` bytes that a guest sends, who may leave `offered` to us.
///
/// # Errors
///
/// When the frame cannot be sent.
pub fn parse(bytes: &[u8; HEADER_BYTES], frame_bytes: usize, offered: Offloads) -> Result<Header, Refusal> {
    if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&frame_bytes) {
        return Err(Refusal::Length { bytes: frame_bytes });
    }
    let word = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let (flags, kind) = (bytes[0], bytes[1]);
    let checksum = if flags & NEEDS_CHECKSUM == 0 {
        None
    } else {
        let checksum = Checksum {
            start: word(6),
            offset: word(8),
        };
        if !offered.checksum {
            return Err(Refusal::NotOffered);
        }
        if usize::from(checksum.start) + usize::from(checksum.offset) + 2 > frame_bytes {
            return Err(Refusal::ChecksumOutside);
        }
        Some(checksum)
    };
    let is_offered = match kind & !ECN {
        0 if kind == 0 => {
            return Ok(Header {
                checksum,
                segment: None,
            });
        }
        TCP4 => offered.tso4,
        TCP6 => offered.tso6,
        _ => false,
    };
    if !is_offered || (kind & ECN != 0 && !offered.ecn) {
        return Err(Refusal::NotOffered);
    }
    let segment = Segment {
        kind,
        piece_bytes: word(4),
        // The kernel refuses headers that are longer than the frame.
        headers_bytes: word(2).min(u16::try_from(frame_bytes).unwrap_or(u16::MAX)),
    };
    if segment.piece_bytes == 0 || checksum.is_none() {
        return Err(Refusal::Uncuttable);
    }
    Ok(Header {
        checksum,
        segment: Some(segment),
    })
}

impl Header {
    /// The header as the host's kernel reads it.
    #[must_use]
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        if let Some(checksum) = self.checksum {
            bytes[0] = NEEDS_CHECKSUM;
            bytes[6..8].copy_from_slice(&checksum.start.to_le_bytes());
            bytes[8..10].copy_from_slice(&checksum.offset.to_le_bytes());
        }
        if let Some(segment) = self.segment {
            bytes[1] = segment.kind;
            bytes[2..4].copy_from_slice(&segment.headers_bytes.to_le_bytes());
            bytes[4..6].copy_from_slice(&segment.piece_bytes.to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Offloads = Offloads {
        checksum: true,
        tso4: true,
        tso6: true,
        ecn: true,
    };

    fn check(bytes: [u8; HEADER_BYTES], frame_bytes: usize, expected: Result<Header, Refusal>) {
        assert_eq!(parse(&bytes, frame_bytes, ALL), expected, "{bytes:?}");
    }

    #[test]
    fn a_plain_frame_asks_for_nothing() {
        check([0; HEADER_BYTES], 60, Ok(Header::default()));
        // Flags that only a host sets, and the number of buffers, say nothing.
        check([2, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9], 60, Ok(Header::default()));
    }

    #[test]
    fn a_checksum_lies_inside_the_frame() {
        let bytes = [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0];
        let checksum = Some(Checksum { start: 34, offset: 16 });
        check(
            bytes,
            52,
            Ok(Header {
                checksum,
                segment: None,
            }),
        );
        check(bytes, 51, Err(Refusal::ChecksumOutside));
    }

    #[test]
    fn a_segment_needs_a_checksum_and_a_size() {
        let bytes = [1, 0x81, 54, 0, 0xa0, 5, 34, 0, 16, 0, 0, 0];
        let header = parse(&bytes, 9000, ALL).unwrap();
        assert_eq!(header.bytes(), bytes);
        check(
            [0, 1, 54, 0, 0xa0, 5, 34, 0, 16, 0, 0, 0],
            9000,
            Err(Refusal::Uncuttable),
        );
        check([1, 1, 54, 0, 0, 0, 34, 0, 16, 0, 0, 0], 9000, Err(Refusal::Uncuttable));
        for kind in [2, 3, 5, 0x80, 0x7f] {
            check(
                [1, kind, 54, 0, 1, 0, 34, 0, 16, 0, 0, 0],
                9000,
                Err(Refusal::NotOffered),
            );
        }
    }

    #[test]
    fn lengths_have_bounds() {
        check([0; HEADER_BYTES], 13, Err(Refusal::Length { bytes: 13 }));
        check([0; HEADER_BYTES], FRAME_BYTES_MAX, Ok(Header::default()));
        let bytes = FRAME_BYTES_MAX + 1;
        check([0; HEADER_BYTES], bytes, Err(Refusal::Length { bytes }));
    }

    proptest! {
        #[test]
        fn what_is_taken_was_offered_and_is_read_back_as_written(
            bytes: [u8; HEADER_BYTES], few in any::<[bool; 3]>(), frame_bytes in 0usize..70_000,
            offered in any::<[bool; 4]>(),
        ) {
            // Few bits, since most kinds are unknown.
            let mut bytes = bytes;
            if few[0] { bytes[0] &= 1; }
            if few[1] { bytes[1] &= 0x85; }
            if few[2] { bytes[7] = 0; bytes[9] = 0; }
            let [checksum, tso4, tso6, ecn] = offered;
            let offered = Offloads { checksum, tso4, tso6, ecn };
            if let Ok(header) = parse(&bytes, frame_bytes, offered) {
                prop_assert!(header.checksum.is_none() || checksum);
                prop_assert!(header.segment.is_none() || (header.checksum.is_some() && (tso4 || tso6)));
                prop_assert_eq!(parse(&header.bytes(), frame_bytes, offered), Ok(header));
            }
        }
    }
}
