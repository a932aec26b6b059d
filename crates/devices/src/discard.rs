//! How devices give guest memory back to the host.

/// The owner of the guest's memory, as devices see it that learn which pages the guest does not use.
pub trait Discard: Send + Sync {
    /// The host may take back the pages of the `bytes` from the guest-physical address `start` on; both are multiples of
    /// 4096. What they hold afterwards is undefined: zeros, or anything that the guest has had there before.
    ///
    /// Nothing is promised, and so there is no error: what the host cannot take stays with the guest. The guest has chosen
    /// the pages: whether they are memory that may be taken at all is for the owner to judge.
    fn discard(&self, start: u64, bytes: u64);
}

#[cfg(test)]
pub(crate) mod testing {
    //! An owner for tests, who takes nothing and writes down what was offered.

    use std::mem;
    use std::sync::{Arc, Mutex};

    use super::Discard;

    /// What was offered: start and length. A clone reads the same list.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Record {
        discarded: Arc<Mutex<Vec<(u64, u64)>>>,
    }

    impl Record {
        /// What was offered since the last call.
        pub(crate) fn take(&self) -> Vec<(u64, u64)> {
            mem::take(&mut self.discarded.lock().unwrap())
        }
    }

    impl Discard for Record {
        fn discard(&self, start: u64, bytes: u64) {
            assert!(start.is_multiple_of(4096) && bytes.is_multiple_of(4096) && bytes > 0);
            self.discarded.lock().unwrap().push((start, bytes));
        }
    }
}
