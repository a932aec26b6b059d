//! The numbers and names that a FUSE message is made of, in the order in which they lie there.

use std::ffi::CStr;

use rustix::io::Errno;

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn u32(&mut self) -> Result<u32, Errno> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Errno> {
        self.array().map(u64::from_le_bytes)
    }

    /// Passes over `count` bytes that mean nothing here.
    pub(super) fn skip(&mut self, count: usize) -> Result<(), Errno> {
        self.bytes(count).map(drop)
    }

    /// A text up to the NUL that ends it.
    pub(super) fn text(&mut self) -> Result<&'a CStr, Errno> {
        let text = CStr::from_bytes_until_nul(self.rest).map_err(|_| Errno::INVAL)?;
        self.rest = self.rest.get(text.to_bytes_with_nul().len()..).unwrap_or_default();
        Ok(text)
    }

    /// The name of something in a directory: never the way to elsewhere.
    pub(super) fn name(&mut self) -> Result<&'a CStr, Errno> {
        let name = self.text()?;
        match name.to_bytes() {
            b"" | b"." | b".." => Err(Errno::INVAL),
            bytes if bytes.len() > NAME_LEN_MAX => Err(Errno::NAMETOOLONG),
            bytes if bytes.contains(&b'/') => Err(Errno::INVAL),
            _ => Ok(name),
        }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Errno> {
        let (front, rest) = self.rest.split_at_checked(count).ok_or(Errno::INVAL)?;
        self.rest = rest;
        Ok(front)
    }

    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], Errno> {
        let (front, rest) = self.rest.split_first_chunk().ok_or(Errno::INVAL)?;
        self.rest = rest;
        Ok(*front)
    }
}

/// The longest name in a directory, in bytes (Linux's `NAME_MAX`).
const NAME_LEN_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_in_a_directory_are_names() {
        for bad in ["\0", ".\0", "..\0", "a/b\0", "/\0", "endless"] {
            assert!(Fields::of(bad.as_bytes()).name().is_err(), "{bad:?}");
        }
        let long = [vec![b'a'; 256], vec![0]].concat();
        assert_eq!(Fields::of(&long).name(), Err(Errno::NAMETOOLONG));
        assert_eq!(Fields::of(b"...\0x").name(), Ok(c"..."));
    }

    #[test]
    fn a_short_message_is_an_error() {
        let mut fields = Fields::of(&[1, 0, 0, 0, 9]);
        assert_eq!(fields.u32(), Ok(1));
        assert_eq!(fields.u64(), Err(Errno::INVAL));
        assert_eq!(fields.skip(1), Ok(()));
        assert_eq!(fields.bytes(1), Err(Errno::INVAL));
    }
}
