//! What is done in advance so that a clone finds it in its memory: pages that nobody has touched yet cost a clone most of all.

use std::hint::black_box;
use std::time::Duration;

use protocol::frame::{self, FrameError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::frames::Frames;

/// How deep the stack gets at most before a container's program runs, in bytes.
const STACK_LEN: usize = 32 * 1024;

/// Longer than it takes to stop and to go on.
const A_MOMENT: Duration = Duration::from_micros(100);

/// Writes to the part of the stack that will be needed.
#[inline(never)]
pub fn touch_stack() {
    black_box([0_u8; STACK_LEN]);
}

/// Has nothing to do for a moment: whoever else has something to do does it meanwhile, and what it takes to do nothing is in memory from then on.
pub fn idle() {
    std::thread::sleep(A_MOMENT);
}

/// Encodes `sample` and decodes it out of `frames`, which is empty before and after.
///
/// # Errors
/// [`FrameError`].
pub fn rehearse<T: Serialize + DeserializeOwned>(frames: &mut Frames<T>, sample: &T) -> Result<(), FrameError> {
    frames.room().extend(frame::encode(sample)?);
    while let Some(message) = frames.take()? {
        black_box(message);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rehearsal_leaves_nothing_behind() {
        let mut frames = Frames::default();
        rehearse(&mut frames, &"sample".to_owned()).unwrap();
        frames.room().extend(frame::encode(&"real").unwrap());
        assert_eq!(frames.take().unwrap().as_deref(), Some("real"));
    }
}
