//! A device whose worker has a thread of its own, since what stands behind it may keep it waiting.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::device::{ActivateError, Activation, VirtioDevice, Worker};
use crate::interrupt::Interrupt;

/// Whose worker is not to keep the others waiting.
pub struct OwnThread<D> {
    device: D,
}

impl<D: VirtioDevice> OwnThread<D> {
    /// The same device, with a thread for each time that a driver sets it up.
    #[must_use]
    pub const fn of(device: D) -> Self {
        Self { device }
    }
}

impl<D: VirtioDevice> VirtioDevice for OwnThread<D> {
    fn device_type(&self) -> u32 {
        self.device.device_type()
    }

    fn queue_sizes(&self) -> &[u16] {
        self.device.queue_sizes()
    }

    fn features(&self) -> u64 {
        self.device.features()
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.device.read_config(offset, data);
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        self.device.write_config(offset, data);
    }

    fn activate(&mut self, activation: Activation) -> Result<Box<dyn Worker>, ActivateError> {
        let interrupt = activation.interrupt.clone();
        let worker = self.device.activate(activation)?;
        let stop = EventFd::new(EFD_NONBLOCK).map_err(|source| ActivateError::Backend { source })?;
        Ok(Box::new(Thread {
            stop,
            is_over: Arc::default(),
            waiting: Some((worker, interrupt)),
            thread: None,
        }))
    }

    fn reset(&mut self) {
        self.device.reset();
    }
}

/// The thread, as a worker that has nothing to do. It ends when this is dropped, after the request under way.
struct Thread {
    stop: EventFd,
    // Written here, read by the thread that `stop` has woken.
    is_over: Arc<AtomicBool>,
    /// What the thread is to do, until it is started.
    waiting: Option<(Box<dyn Worker>, Interrupt)>,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    fn start(&self, worker: Box<dyn Worker>, interrupt: Interrupt) -> io::Result<JoinHandle<()>> {
        let (waker, over) = (self.stop.try_clone()?, Arc::clone(&self.is_over));
        let serve = move || {
            if run(worker, waker, &over).is_err() {
                interrupt.request_reset();
            }
        };
        thread::Builder::new().name("device".to_owned()).spawn(serve)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // This fails only when the counter is full, and then the thread will be woken.
        let _ = self.stop.write(1);
        // A thread that has panicked has ended, too.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl MutEventSubscriber for Thread {
    fn process(&mut self, _events: Events, _ops: &mut EventOps<'_>) {}

    // By the thread that serves the devices, not by the vCPU's that has set this one up: what a vCPU's thread may do is too little here.
    fn init(&mut self, _ops: &mut EventOps<'_>) {
        let Some((worker, interrupt)) = self.waiting.take() else {
            return;
        };
        match self.start(worker, interrupt.clone()) {
            Ok(thread) => self.thread = Some(thread),
            Err(_) => interrupt.request_reset(),
        }
    }
}

/// Wakes the thread's loop.
struct Waker(EventFd);

impl MutEventSubscriber for Waker {
    fn process(&mut self, _events: Events, _ops: &mut EventOps<'_>) {
        let _ = self.0.read();
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        // A new loop has room for its first descriptors.
        let _ = ops.add(Events::new(&self.0, EventSet::IN));
    }
}

fn run(worker: Box<dyn Worker>, waker: EventFd, is_over: &AtomicBool) -> Result<(), event_manager::Error> {
    let mut events = EventManager::<Box<dyn Worker>>::new()?;
    events.add_subscriber(Box::new(Waker(waker)));
    events.add_subscriber(worker);
    while !is_over.load(Ordering::Acquire) {
        events.run()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::rng::Rng;
    use crate::slots::testing::queue::into;
    use crate::slots::testing::{BUFFERS, Guest, STATUS};

    #[test]
    fn requests_are_served_by_another_thread_until_a_reset() {
        let mut guest = Guest::with(OwnThread::of(Rng::new(io::repeat(0xab))));
        let mut queues = guest.bring_up(u64::MAX);
        let head = queues[0].add(&[into(BUFFERS, 8)]);
        guest.kick(0);
        let used = loop {
            match queues[0].take_used() {
                Some(used) => break used,
                None => thread::yield_now(),
            }
        };
        assert_eq!(used, (head, 8));
        guest.write(STATUS, 0);
        let mut queues = guest.bring_up(u64::MAX);
        queues[0].add(&[into(BUFFERS, 8)]);
        guest.kick(0);
        while queues[0].take_used().is_none() {
            thread::yield_now();
        }
    }
}
