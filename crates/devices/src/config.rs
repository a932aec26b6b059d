//! Reads of a device's configuration space, in whatever width and place a guest tries.

/// Fills `data` with what lies at `offset` of `space`; behind its end there are zeros.
pub fn read(space: &[u8], offset: u64, data: &mut [u8]) {
    data.fill(0);
    let rest = usize::try_from(offset)
        .ok()
        .and_then(|offset| space.get(offset..))
        .unwrap_or_default();
    let count = rest.len().min(data.len());
    data[..count].copy_from_slice(&rest[..count]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(offset: u64, expected: &[u8]) {
        let mut data = vec![0xff; expected.len()];
        read(&[1, 2, 3, 4], offset, &mut data);
        assert_eq!(data, expected);
    }

    #[test]
    fn any_width_at_any_place() {
        check(0, &[1]);
        check(1, &[2, 3]);
        check(0, &[1, 2, 3, 4, 0, 0, 0, 0]);
        check(3, &[4, 0, 0, 0]);
        check(4, &[0, 0]);
        check(u64::MAX, &[0]);
        check(2, &[]);
    }
}
