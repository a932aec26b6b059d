//! Whether the host is short of memory, as its kernel says by itself.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch as channel;

use crate::readiness::watch;

/// Where the kernel counts the time that is lost for want of memory (Documentation/accounting/psi.rst).
const FILE: &str = "/proc/pressure/memory";

/// Tell when some task lost 100 ms within 1 s.
const TRIGGER: &[u8] = b"some 100000 1000000\0";

/// How long nothing must be told until memory counts as plentiful again.
const CALM: Duration = Duration::from_secs(10);

/// Listens for as long as the answer is kept. On a host whose kernel does not count, memory is never short.
#[must_use]
pub fn listen() -> channel::Receiver<bool> {
    let (sender, receiver) = channel::channel(false);
    match open(Path::new(FILE)) {
        Ok(trigger) => drop(tokio::spawn(follow(trigger, sender))),
        Err(error) => tracing::debug!("memory pressure is not heard of: cannot use {FILE}: {error}"),
    }
    receiver
}

fn open(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let mut file = File::options().read(true).write(true).open(path)?;
    file.write_all(TRIGGER)?;
    watch(file.into(), Interest::PRIORITY)
}

async fn follow(trigger: AsyncFd<OwnedFd>, sender: channel::Sender<bool>) {
    loop {
        let told = async {
            let mut guard = trigger.ready(Interest::PRIORITY).await?;
            guard.clear_ready();
            io::Result::Ok(())
        };
        let is_pressed = *sender.borrow();
        let told = tokio::select! {
            told = told => told.map(|()| true),
            () = tokio::time::sleep(CALM), if is_pressed => Ok(false),
            () = sender.closed() => return,
        };
        match told {
            Ok(pressed) if pressed != is_pressed => drop(sender.send_replace(pressed)),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!("memory pressure is not heard of any more: {error}");
                sender.send_replace(false);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_does_not_count_is_no_failure() {
        assert!(open(Path::new("/nowhere/pressure")).is_err());
    }
}
