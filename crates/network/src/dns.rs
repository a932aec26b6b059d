//! The guests' name server: passes questions on to the host's, wherever these are, and so also to one that only this host can reach.
//!
//! It knows the names of the network that it is in, where those have any ([`Names`]). Of a question for anything else it understands only the number by
//! which an answer belongs to it. Sizes, times and the number of questions at once are bounded.

mod names;
mod question;
mod resolvers;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use names::Names;
pub use question::Question;
pub use resolvers::{Resolvers, parse};

/// The port of name servers.
const DNS_PORT: u16 = 53;

/// The longest question or answer by UDP: what EDNS clients ask for at most, and more than that.
const DATAGRAM_LEN_MAX: usize = 4096;

/// The length of the part that questions and answers begin with (RFC 1035, 4.1.1).
const HEADER_LEN: usize = 12;

/// The most questions, and connections, that are under way at once. Others are not heard: whoever asks by UDP asks again.
const QUESTIONS_MAX: usize = 256;

/// How long one name server is waited for.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long a connection may be without a question.
const IDLE: Duration = Duration::from_secs(10);

/// `SERVFAIL` (RFC 1035, 4.1.1).
const SERVER_FAILED: u8 = 2;

/// A forwarder that runs until it is dropped.
#[derive(Debug)]
pub struct Forwarder {
    running: DropGuard,
    tasks: TaskTracker,
}

/// What all work of a forwarder shares.
#[derive(Debug)]
struct Service {
    upstream: Upstream,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    stopped: CancellationToken,
}

/// What a forwarder knows by itself.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// The names of the network that it is in.
    pub names: Option<Arc<Names>>,
    /// Whether it asks nobody for what it does not know.
    pub is_internal: bool,
}

/// Where names are asked for on this host.
#[derive(Debug)]
struct Upstream {
    known: Knowledge,
    /// `/etc/resolv.conf` but in tests.
    file: PathBuf,
    /// The name servers' port, 53 but in tests.
    port: u16,
}

impl Forwarder {
    /// Answers at `address`, with what is `known`, and else with what the name servers in the file `resolvers` say.
    ///
    /// # Errors
    /// Where the address has a name server already.
    pub async fn start(address: Ipv4Addr, resolvers: PathBuf, known: Knowledge) -> io::Result<Self> {
        Self::start_at((address, DNS_PORT).into(), resolvers, DNS_PORT, known).await
    }

    async fn start_at(address: SocketAddr, file: PathBuf, port: u16, known: Knowledge) -> io::Result<Self> {
        let datagrams = Arc::new(UdpSocket::bind(address).await?);
        let connections = TcpListener::bind(address).await?;
        let stopped = CancellationToken::new();
        let service = Arc::new(Service {
            upstream: Upstream { known, file, port },
            places: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            tasks: TaskTracker::new(),
            stopped: stopped.clone(),
        });
        service.spawn(serve_datagrams(datagrams, Arc::clone(&service)));
        service.spawn(serve_connections(connections, Arc::clone(&service)));
        Ok(Self {
            running: stopped.drop_guard(),
            tasks: service.tasks.clone(),
        })
    }

    /// Stops it: when this returns, somebody else can have the address.
    pub async fn stop(self) {
        drop(self.running);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Service {
    /// Does this until the forwarder stops.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        self.tasks
            .spawn(async move { stopped.run_until_cancelled_owned(work).await });
    }
}

async fn serve_datagrams(socket: Arc<UdpSocket>, service: Arc<Service>) {
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    loop {
        // An error is one of an earlier answer that could not be delivered.
        let Ok((len, guest)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Ok(place) = Arc::clone(&service.places).try_acquire_owned() else {
            continue;
        };
        if len < HEADER_LEN {
            continue;
        }
        let question = buffer[..len].to_vec();
        let (socket, asked) = (Arc::clone(&socket), Arc::clone(&service));
        service.spawn(async move {
            let answer = asked.upstream.ask_by_datagram(&question).await;
            // A guest that is gone needs no answer.
            let _ = socket
                .send_to(&answer.unwrap_or_else(|| failure(&question)), guest)
                .await;
            drop(place);
        });
    }
}

async fn serve_connections(listener: TcpListener, service: Arc<Service>) {
    loop {
        let Ok(place) = Arc::clone(&service.places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((guest, _)) => service.spawn(serve_connection(guest, Arc::clone(&service), place)),
            // Out of descriptors: others are given back some time.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Answers one question after the other (RFC 7766).
async fn serve_connection(mut guest: TcpStream, service: Arc<Service>, _place: OwnedSemaphorePermit) {
    while let Ok(Ok(question)) = timeout(IDLE, read_message(&mut guest)).await {
        let answer = service.upstream.ask_by_connection(&question).await;
        let answer = answer.unwrap_or_else(|| failure(&question));
        if !matches!(timeout(IDLE, write_message(&mut guest, &answer)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// Reads a length and a message of this length: at most 64 KiB.
async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = usize::from(stream.read_u16().await?);
    if len < HEADER_LEN {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; len];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let len = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), message].concat()).await
}

/// The answer that there is none: the question with other flags.
fn failure(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    // Both ends of `QR Opcode AA TC RD`, `RA Z RCODE`.
    if let Some([flags, code]) = answer.get_mut(2..4) {
        *flags = *flags & 0x79 | 0x80;
        *code = SERVER_FAILED;
    }
    answer
}

/// Whether the number of the answer is that of the question.
fn answers(answer: &[u8], question: &[u8]) -> bool {
    answer.len() >= HEADER_LEN && answer[..2] == question[..2] && answer[2] & 0x80 != 0
}

impl Upstream {
    /// What is known without asking.
    fn known(&self, question: &[u8]) -> Option<Vec<u8>> {
        self.known.names.as_ref()?.answer(question)
    }

    async fn servers(&self) -> Vec<SocketAddr> {
        if self.known.is_internal {
            return Vec::new();
        }
        let text = tokio::fs::read_to_string(&self.file).await.unwrap_or_default();
        let servers = parse(&text).servers.into_iter();
        servers.map(|server| SocketAddr::new(server, self.port)).collect()
    }

    async fn ask_by_datagram(&self, question: &[u8]) -> Option<Vec<u8>> {
        if let Some(answer) = self.known(question) {
            return Some(answer);
        }
        for server in self.servers().await {
            if let Ok(Ok(answer)) = timeout(PATIENCE, exchange_datagrams(server, question)).await {
                return Some(answer);
            }
        }
        None
    }

    async fn ask_by_connection(&self, question: &[u8]) -> Option<Vec<u8>> {
        if let Some(answer) = self.known(question) {
            return Some(answer);
        }
        for server in self.servers().await {
            let exchange = async {
                let mut stream = TcpStream::connect(server).await?;
                write_message(&mut stream, question).await?;
                read_message(&mut stream).await
            };
            if let Ok(Ok(answer)) = timeout(PATIENCE, exchange).await {
                return Some(answer);
            }
        }
        None
    }
}

/// Asks from a port of its own, so that nobody else can guess where an answer has to go.
async fn exchange_datagrams(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let own: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; DATAGRAM_LEN_MAX];
    loop {
        let len = socket.recv(&mut buffer).await?;
        if answers(&buffer[..len], question) {
            buffer.truncate(len);
            return Ok(buffer);
        }
    }
}

#[cfg(test)]
mod tests;
