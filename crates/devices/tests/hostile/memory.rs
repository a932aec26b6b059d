//! How much memory this thread has allocated and not given back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, whose bytes are counted for each thread.
pub struct Counting;

/// The bytes that are allocated now.
pub fn live_bytes() -> isize {
    LIVE_BYTES.get()
}

fn count(bytes: isize) {
    // A thread that is ending counts no more.
    let _ = LIVE_BYTES.try_with(|live| live.set(live.get() + bytes));
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

// SAFETY: all is the system's own allocator's work; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller keeps to the same rules.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: the caller keeps to the same rules.
        unsafe { System.dealloc(place, layout) }
    }
}
