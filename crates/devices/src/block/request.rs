//! virtio-blk requests (virtio 1.2, 5.2.6): hostile bytes in, a request that fits the disk out.

use virtio_bindings::bindings::virtio_blk::{
    VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_FLUSH, VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
    VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP,
};

/// The unit of all offsets and capacities on the wire, in bytes.
pub const SECTOR_BYTES: u64 = 512;
/// The length of a request's header, in bytes.
pub const HEADER_BYTES: usize = 16;
/// The length of the range that a discard or a write of zeros carries, in bytes. There is one range in a request.
pub const RANGE_BYTES: usize = 16;
/// The length of the name that a driver can ask for, in bytes.
pub const ID_BYTES: usize = 20;
/// The most data segments of one request, beside its header and its status.
pub const SEGMENTS_MAX: u32 = 126;
/// The most sectors of one discard: 2 GiB.
pub const DISCARD_SECTORS_MAX: u32 = 1 << 22;
/// The most sectors of one write of zeros, 32 MiB: a host that cannot punch holes has to write them.
pub const WRITE_ZEROES_SECTORS_MAX: u32 = 1 << 16;

/// What a request is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Disk {
    /// The size of the disk, in bytes.
    pub capacity_bytes: u64,
    /// Whether requests may change it.
    pub writable: bool,
}

/// What a driver brings with a request's header.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// How many bytes the driver gives.
    pub given_bytes: u64,
    /// The first [`RANGE_BYTES`] of them, zeros if there are fewer.
    pub given: &'a [u8; RANGE_BYTES],
    /// How many bytes the driver has room for, beside the status.
    pub room_bytes: u64,
}

/// A stretch of the disk, inside its capacity.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
}

/// A request that fits the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// Fill the driver's room from this stretch, which is exactly as long.
    Read(Range),
    /// Store the driver's data in this stretch, which is exactly as long.
    Write(Range),
    /// Make what was written durable.
    Flush,
    /// Say the disk's name.
    Identify,
    /// Forget what is stored in this stretch.
    Discard(Range),
    /// Make this stretch read as zeros.
    WriteZeroes {
        /// The stretch.
        range: Range,
        /// Whether the host may give the space back.
        unmap: bool,
    },
}

/// Why a request was refused; the value of its status byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Refusal {
    /// `VIRTIO_BLK_S_IOERR`: the request does not fit the disk, or the host failed.
    Failed = 1,
    /// `VIRTIO_BLK_S_UNSUPP`: the disk does not know such requests.
    Unsupported = 2,
}

/// Reads a request's header, and the range behind it where there is one.
///
/// # Errors
///
/// When the request is unknown or does not fit the disk.
pub fn parse(header: &[u8; HEADER_BYTES], data: Data<'_>, disk: Disk) -> Result<Request, Refusal> {
    let kind = u32_at(header, 0);
    let sector = u64_at(header, 8);
    match kind {
        VIRTIO_BLK_T_IN => Ok(Request::Read(disk.sectors_at(sector, data.room_bytes)?)),
        VIRTIO_BLK_T_OUT if !disk.writable => Err(Refusal::Failed),
        VIRTIO_BLK_T_OUT => Ok(Request::Write(disk.sectors_at(sector, data.given_bytes)?)),
        VIRTIO_BLK_T_FLUSH => Ok(Request::Flush),
        VIRTIO_BLK_T_GET_ID => Ok(Request::Identify),
        VIRTIO_BLK_T_DISCARD if disk.writable => {
            let (range, flags) = parse_range(data, disk, DISCARD_SECTORS_MAX)?;
            // No flag has a meaning for a discard (virtio 1.2, 5.2.6.2).
            if flags != 0 {
                Err(Refusal::Unsupported)
            } else {
                Ok(Request::Discard(range))
            }
        }
        VIRTIO_BLK_T_WRITE_ZEROES if disk.writable => {
            let (range, flags) = parse_range(data, disk, WRITE_ZEROES_SECTORS_MAX)?;
            if flags & !VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0 {
                return Err(Refusal::Unsupported);
            }
            Ok(Request::WriteZeroes {
                range,
                unmap: flags != 0,
            })
        }
        _ => Err(Refusal::Unsupported),
    }
}

fn parse_range(data: Data<'_>, disk: Disk, sectors_max: u32) -> Result<(Range, u32), Refusal> {
    let sectors = u32_at(data.given, 8);
    let flags = u32_at(data.given, 12);
    if data.given_bytes != RANGE_BYTES as u64 || sectors > sectors_max {
        return Err(Refusal::Failed);
    }
    let range = disk.sectors_at(u64_at(data.given, 0), u64::from(sectors) * SECTOR_BYTES)?;
    Ok((range, flags))
}

impl Disk {
    /// The `bytes` behind the begin of `sector`.
    fn sectors_at(self, sector: u64, bytes: u64) -> Result<Range, Refusal> {
        let offset = sector.checked_mul(SECTOR_BYTES).ok_or(Refusal::Failed)?;
        let end = offset.checked_add(bytes).ok_or(Refusal::Failed)?;
        if !bytes.is_multiple_of(SECTOR_BYTES) || end > self.capacity_bytes {
            return Err(Refusal::Failed);
        }
        Ok(Range { offset, bytes })
    }
}

fn u32_at(bytes: &[u8; 16], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; 16], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DISK: Disk = Disk {
        capacity_bytes: 8192,
        writable: true,
    };
    const READ_ONLY: Disk = Disk {
        capacity_bytes: 8192,
        writable: false,
    };

    fn header(kind: u32, sector: u64) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&kind.to_le_bytes());
        header[8..].copy_from_slice(&sector.to_le_bytes());
        header
    }

    fn check(kind: u32, sector: u64, bytes: u64, disk: Disk, expected: Result<Request, Refusal>) {
        let data = Data {
            given_bytes: bytes,
            given: &[0; RANGE_BYTES],
            room_bytes: bytes,
        };
        assert_eq!(parse(&header(kind, sector), data, disk), expected);
    }

    fn check_range(kind: u32, range: (u64, u32, u32), disk: Disk, expected: Result<Request, Refusal>) {
        let mut given = [0; RANGE_BYTES];
        given[..8].copy_from_slice(&range.0.to_le_bytes());
        given[8..12].copy_from_slice(&range.1.to_le_bytes());
        given[12..].copy_from_slice(&range.2.to_le_bytes());
        let data = Data {
            given_bytes: 16,
            given: &given,
            room_bytes: 0,
        };
        assert_eq!(parse(&header(kind, 0), data, disk), expected);
    }

    #[test]
    fn a_read_up_to_the_last_byte_fits() {
        check(
            VIRTIO_BLK_T_IN,
            15,
            512,
            DISK,
            Ok(Request::Read(Range {
                offset: 7680,
                bytes: 512,
            })),
        );
    }

    #[test]
    fn a_read_past_the_last_byte_fails() {
        check(VIRTIO_BLK_T_IN, 15, 1024, DISK, Err(Refusal::Failed));
        check(VIRTIO_BLK_T_IN, u64::MAX, 512, DISK, Err(Refusal::Failed));
        check(VIRTIO_BLK_T_IN, u64::MAX / 512, 512, DISK, Err(Refusal::Failed));
    }

    #[test]
    fn half_a_sector_fails() {
        check(VIRTIO_BLK_T_IN, 0, 100, DISK, Err(Refusal::Failed));
        check(VIRTIO_BLK_T_OUT, 0, 513, DISK, Err(Refusal::Failed));
    }

    #[test]
    fn a_read_only_disk_fails_writes_and_knows_no_discard() {
        check(VIRTIO_BLK_T_OUT, 0, 512, READ_ONLY, Err(Refusal::Failed));
        check_range(VIRTIO_BLK_T_DISCARD, (0, 1, 0), READ_ONLY, Err(Refusal::Unsupported));
        check_range(
            VIRTIO_BLK_T_WRITE_ZEROES,
            (0, 1, 0),
            READ_ONLY,
            Err(Refusal::Unsupported),
        );
    }

    #[test]
    fn unknown_requests_are_unsupported() {
        check(77, 0, 512, DISK, Err(Refusal::Unsupported));
    }

    #[test]
    fn a_discard_has_a_range_and_no_flags() {
        let range = Range {
            offset: 1024,
            bytes: 2048,
        };
        check_range(VIRTIO_BLK_T_DISCARD, (2, 4, 0), DISK, Ok(Request::Discard(range)));
        check_range(VIRTIO_BLK_T_DISCARD, (2, 4, 1), DISK, Err(Refusal::Unsupported));
        check_range(VIRTIO_BLK_T_DISCARD, (15, 4, 0), DISK, Err(Refusal::Failed));
        check(VIRTIO_BLK_T_DISCARD, 0, 15, DISK, Err(Refusal::Failed));
        check(VIRTIO_BLK_T_DISCARD, 0, 32, DISK, Err(Refusal::Failed));
    }

    #[test]
    fn zeros_may_be_unmapped() {
        let range = Range { offset: 0, bytes: 512 };
        check_range(
            VIRTIO_BLK_T_WRITE_ZEROES,
            (0, 1, 1),
            DISK,
            Ok(Request::WriteZeroes { range, unmap: true }),
        );
        check_range(VIRTIO_BLK_T_WRITE_ZEROES, (0, 1, 2), DISK, Err(Refusal::Unsupported));
    }

    #[test]
    fn more_zeros_than_the_limit_fail_on_any_disk() {
        let disk = Disk {
            capacity_bytes: 1 << 50,
            writable: true,
        };
        check_range(
            VIRTIO_BLK_T_WRITE_ZEROES,
            (0, WRITE_ZEROES_SECTORS_MAX + 1, 0),
            disk,
            Err(Refusal::Failed),
        );
        check_range(
            VIRTIO_BLK_T_DISCARD,
            (0, DISCARD_SECTORS_MAX + 1, 0),
            disk,
            Err(Refusal::Failed),
        );
    }

    proptest! {
        #[test]
        fn what_is_accepted_lies_inside_the_disk(
            kind in prop_oneof![0u32..20, any::<u32>()],
            sector in prop_oneof![0u64..64, any::<u64>()],
            given: [u8; RANGE_BYTES],
            given_bytes in prop_oneof![Just(16u64), 0u64..16_384, any::<u64>()],
            room_bytes in prop_oneof![0u64..16_384, any::<u64>()],
            capacity_bytes in prop_oneof![0u64..65_536, any::<u64>()],
            writable: bool,
        ) {
            let data = Data { given_bytes, given: &given, room_bytes };
            let range = match parse(&header(kind, sector), data, Disk { capacity_bytes, writable }) {
                Ok(Request::Read(range)) => range,
                Ok(Request::Write(range) | Request::Discard(range) | Request::WriteZeroes { range, .. }) => {
                    prop_assert!(writable);
                    range
                }
                Ok(Request::Flush | Request::Identify) | Err(_) => return Ok(()),
            };
            prop_assert!(range.offset.checked_add(range.bytes).is_some_and(|end| end <= capacity_bytes));
        }
    }
}
