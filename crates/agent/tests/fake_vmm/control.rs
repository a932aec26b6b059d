//! The control socket of the fake: every connection hears everything from the beginning.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use protocol::vmm::{Event, ExitCode, Request, Shape};
use protocol::{attachments, frame};

use super::Result;

/// What to be, and what came with it.
pub type Told = (Shape, Vec<OwnedFd>);

/// The control socket, served by threads.
pub struct Control {
    shared: Arc<Mutex<Shared>>,
    shapes: mpsc::Receiver<Told>,
}

struct Shared {
    history: Vec<u8>,
    connections: Vec<UnixStream>,
    awaits_shape: bool,
}

impl Control {
    /// Serves `listener`; where a shape is awaited, the process ends with who could say it.
    pub fn serve(listener: UnixListener, awaits_shape: bool) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            history: vec![],
            connections: vec![],
            awaits_shape,
        }));
        let (sender, shapes) = mpsc::channel();
        let all = shared.clone();
        thread::spawn(move || {
            while let Ok((mut connection, _)) = listener.accept() {
                let mut locked = all.lock().unwrap();
                // Who is gone already is found to be by the reader.
                let _ = connection.write_all(&locked.history);
                locked.connections.push(connection.try_clone().unwrap());
                drop(locked);
                let (all, sender) = (all.clone(), sender.clone());
                thread::spawn(move || hear(&mut connection, &all, &sender));
            }
        });
        Self { shared, shapes }
    }

    /// Tells everybody, now and later.
    pub fn report(&self, event: &Event) -> Result<()> {
        let bytes = frame::encode(event)?;
        let mut shared = self.shared.lock().unwrap();
        shared.history.extend(&bytes);
        shared
            .connections
            .retain_mut(|connection| connection.write_all(&bytes).is_ok());
        Ok(())
    }

    /// Waits until somebody says what to be.
    pub fn shape(&self) -> Result<Told> {
        Ok(self.shapes.recv()?)
    }
}

/// A connection over which descriptors come as well.
struct Attached<'a>(&'a UnixStream, Vec<OwnedFd>);

impl Read for Attached<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        attachments::receive(self.0, buffer, &mut self.1)
    }
}

fn hear(connection: &mut UnixStream, shared: &Mutex<Shared>, shapes: &mpsc::Sender<Told>) {
    let mut connection = Attached(connection, vec![]);
    while let Ok(Some(request)) = frame::read(&mut connection) {
        match request {
            Request::Run(shape) => {
                shared.lock().unwrap().awaits_shape = false;
                shapes.send((*shape, std::mem::take(&mut connection.1))).unwrap();
            }
            Request::Stop => std::process::exit(ExitCode::Stopped.into()),
            Request::Observe => {}
        }
    }
    if shared.lock().unwrap().awaits_shape {
        std::process::exit(ExitCode::Stopped.into());
    }
}
