//! Values one behind the other in bytes: how a template's state is written and read.

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The bytes end before the value, or hold one that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is damaged at byte {at}")]
pub struct Damaged {
    /// How far it could be read.
    pub at: usize,
}

/// Takes values.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Appends `value`.
    pub fn put(&mut self, value: &(impl IntoBytes + Immutable + ?Sized)) {
        self.bytes.extend_from_slice(value.as_bytes());
    }

    /// Appends the number of `values`, and them.
    pub fn put_all<T: IntoBytes + Immutable>(&mut self, values: &[T]) {
        // A template has no list of 2^32 values.
        self.put(&u32::try_from(values.len()).unwrap_or(u32::MAX));
        self.put(values);
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Gives the values back in the order in which they were written.
pub struct Reader<'a> {
    left: &'a [u8],
    len: usize,
}

impl<'a> Reader<'a> {
    /// A reader from the first of `bytes` on.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            left: bytes,
            len: bytes.len(),
        }
    }

    fn damaged(&self) -> Damaged {
        Damaged {
            at: self.len - self.left.len(),
        }
    }

    /// The next value.
    ///
    /// # Errors
    /// [`Damaged`]
    pub fn take<T: FromBytes>(&mut self) -> Result<T, Damaged> {
        let (value, left) = T::read_from_prefix(self.left).map_err(|_| self.damaged())?;
        self.left = left;
        Ok(value)
    }

    /// The next list of at most `count_max` values.
    ///
    /// # Errors
    /// [`Damaged`]
    pub fn take_all<T: FromBytes + IntoBytes + Clone>(&mut self, count_max: usize) -> Result<Vec<T>, Damaged> {
        let count = usize::try_from(self.take::<u32>()?).unwrap_or(usize::MAX);
        if count > count_max {
            return Err(self.damaged());
        }
        let Some(bytes) = self.left.get(..count * size_of::<T>()) else {
            return Err(self.damaged());
        };
        let mut values = vec![T::new_zeroed(); count];
        values.as_mut_bytes().copy_from_slice(bytes);
        self.left = &self.left[bytes.len()..];
        Ok(values)
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// [`Damaged`]
    pub fn end(self) -> Result<(), Damaged> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(self.damaged())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_in_order() {
        let mut writer = Writer::default();
        writer.put(&7_u16);
        writer.put_all(&[1_u64, 2]);
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.take::<u16>(), Ok(7));
        assert_eq!(reader.take_all::<u64>(2), Ok(vec![1, 2]));
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn what_is_cut_short_too_long_or_too_much_is_damaged() {
        let mut writer = Writer::default();
        writer.put_all(&[1_u64, 2]);
        let bytes = writer.finish();
        assert!(Reader::new(&bytes[..bytes.len() - 1]).take_all::<u64>(2).is_err());
        assert_eq!(Reader::new(&bytes).take_all::<u64>(1), Err(Damaged { at: 4 }));
        assert!(Reader::new(&bytes).end().is_err());
    }
}
