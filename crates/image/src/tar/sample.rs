//! Archives for tests, written by hand so that every odd thing can be put into them.

use super::header::BLOCK_BYTES;

/// An archive in the making.
#[derive(Clone, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
}

/// A header block in the making: PAX dialect, mode 0644, owner 0, time 0.
#[derive(Clone)]
pub(crate) struct HeaderBlock(pub [u8; BLOCK_BYTES]);

impl HeaderBlock {
    pub fn new(type_flag: u8, path: &str, size: u64) -> Self {
        let mut header = Self([0; BLOCK_BYTES]);
        header
            .put(0, path.as_bytes())
            .put(100, b"0000644\0")
            .put(108, b"0000000\0")
            .put(116, b"0000000\0")
            .put(124, format!("{size:011o}\0").as_bytes())
            .put(136, b"00000000000\0")
            .put(156, &[type_flag])
            .put(257, b"ustar\x0000");
        header
    }

    pub fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    pub fn sealed(mut self) -> [u8; BLOCK_BYTES] {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

impl Archive {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry with any header.
    pub fn raw(mut self, header: HeaderBlock, data: &[u8]) -> Self {
        self.bytes.extend_from_slice(&header.sealed());
        self.padded(data)
    }

    /// Adds bytes, padded to whole blocks.
    pub fn padded(mut self, data: &[u8]) -> Self {
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        self
    }

    pub fn file(self, path: &str, data: &[u8]) -> Self {
        self.raw(HeaderBlock::new(b'0', path, data.len() as u64), data)
    }

    pub fn directory(self, path: &str) -> Self {
        let mut header = HeaderBlock::new(b'5', path, 0);
        header.put(100, b"0000755\0");
        self.raw(header, &[])
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.link(b'2', path, target)
    }

    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.link(b'1', path, target)
    }

    fn link(self, type_flag: u8, path: &str, target: &str) -> Self {
        let mut header = HeaderBlock::new(type_flag, path, 0);
        header.put(157, target.as_bytes());
        self.raw(header, &[])
    }

    /// Adds an extended header: `x` for the next entry, `g` for all that follow.
    pub fn pax(self, type_flag: u8, records: &[(&str, &[u8])]) -> Self {
        let data: Vec<u8> = records.iter().flat_map(|(key, value)| pax_record(key, value)).collect();
        self.raw(HeaderBlock::new(type_flag, "pax", data.len() as u64), &data)
    }

    /// The archive with the two blocks that end it.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 2 * BLOCK_BYTES]);
        self.bytes
    }

    /// The archive as it is, cut off behind the last entry.
    pub fn unfinished(self) -> Vec<u8> {
        self.bytes
    }
}

/// `length key=value\n`, the length counting its own digits.
pub(crate) fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
