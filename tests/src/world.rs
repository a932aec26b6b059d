//! A host with a network of its own, and an outside world: two network namespaces with a wire between them.
//!
//! A host agent in there has the network for itself, whoever has that of the machine, and nobody has to be asked for an outside world.

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::command::ran;
use crate::host::{Host, prefix};

/// The host's address in the world.
pub const UP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// The world's address.
pub const AWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The host's IPv6 address in the world.
pub const UP_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// The world's IPv6 address.
pub const AWAY_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// The name that the world's name server knows, and the domain that it is in, which the host searches.
pub const NAME: &str = "away.mote.test";

/// How many bytes the world's document `/large` has.
pub const LARGE_LEN: usize = 4 << 20;

/// An answer that has not come by then does not come; the slowest machine takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has the kernel's view of the namespace and the host's name servers, where the host agent expects them.
const SCRIPT: &str = "mount -t sysfs sysfs /sys && mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount --bind $0 /etc/resolv.conf && exec \"$@\"";

/// Tells the worlds of this process from one another.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Both namespaces; they are gone when it is dropped.
pub struct World {
    /// The name of the host's namespace.
    pub here: String,
    /// The name of the outside world's namespace.
    pub outside: String,
    directory: TempDir,
    _services: [Service; 3],
}

impl World {
    /// Makes a world whose outside serves documents by HTTP and answers for [`NAME`].
    ///
    /// # Errors
    /// Where this process may not.
    pub fn make() -> Result<Self> {
        let directory = TempDir::new().context("cannot make a directory")?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |what| format!("e2e-{what}-{}-{number}", std::process::id());
        let (here, outside) = (name("here"), name("outside"));
        let domain = NAME.split_once('.').map_or("", |(_, domain)| domain);
        fs::write(
            directory.path().join("resolv.conf"),
            format!("nameserver {AWAY}\nsearch {domain}\n"),
        )?;
        for line in [
            format!("ip netns add {here}"),
            format!("ip netns add {outside}"),
            format!("ip -n {here} link add up0 type veth peer name eth0 netns {outside}"),
            format!("ip -n {here} address add {UP}/24 dev up0"),
            format!("ip -n {outside} address add {AWAY}/24 dev eth0"),
            format!("ip -n {here} link set up0 up"),
            format!("ip -n {here} link set lo up"),
            format!("ip -n {outside} link set eth0 up"),
            format!("ip -n {outside} link set lo up"),
            format!("ip -n {here} route add default via {AWAY}"),
            format!("ip -n {here} address add {UP_IPV6}/64 dev up0 nodad"),
            format!("ip -n {outside} address add {AWAY_IPV6}/64 dev eth0 nodad"),
            format!("ip -n {here} route add default via {AWAY_IPV6}"),
        ] {
            run(&line)?;
        }
        let [documents_ipv4, documents_ipv6] = [AWAY.into(), AWAY_IPV6.into()]
            .map(|address: IpAddr| Service::start(&outside, || TcpListener::bind((address, 80)), serve_document));
        let names = Service::start(&outside, || UdpSocket::bind((AWAY, 53)), answer_question);
        Ok(Self {
            here,
            outside,
            directory,
            _services: [documents_ipv4, documents_ipv6, names],
        })
    }

    /// A command that starts a host agent in the host's namespace.
    ///
    /// # Panics
    /// Where the tests do not run by `cargo xtask e2e`.
    #[must_use]
    pub fn agent(&self) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.here))
            .args(["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT])
            .arg(self.directory.path().join("resolv.conf"))
            .arg(prefix().unwrap().join("bin/mote-agent"));
        command
    }

    /// Starts a host agent in there that has the image of busybox.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn host(&self, options: &[&str]) -> Result<Host> {
        let host = Host::start_by(self.agent(), options)?;
        host.load("busybox")?;
        Ok(host)
    }

    /// The address of the bridge.
    ///
    /// # Panics
    /// Where there is no bridge.
    #[must_use]
    pub fn bridge(&self) -> Ipv4Addr {
        let shown = said(&self.here, "ip -4 -brief address show dev mote0").unwrap();
        let network = shown
            .split_whitespace()
            .find(|word| word.contains('/') && !word.ends_with("/32"));
        network.and_then(|word| word.split_once('/')?.0.parse().ok()).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for namespace in [&self.here, &self.outside] {
            // A test that failed may have said why already.
            let _ = run(&format!("ip netns delete {namespace}"));
        }
    }
}

/// Something that answers until it is dropped.
struct Service {
    /// Closed to end the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    fn start<S: AsFd + Send + 'static>(
        namespace: &str,
        open: impl FnOnce() -> io::Result<S> + Send,
        answer: fn(&S) -> io::Result<()>,
    ) -> Self {
        let socket = inside(namespace, open).unwrap();
        let (stopped, stop) = io::pipe().unwrap();
        let thread = thread::spawn(move || {
            while is_asked(&socket, &stopped) {
                // Whoever asked may be gone.
                let _ = answer(&socket);
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Waits for somebody at `socket`; false where the service is to end.
fn is_asked(socket: &impl AsFd, stopped: &PipeReader) -> bool {
    let mut both = [PollFd::new(socket, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
    poll(&mut both, None).is_ok() && both[1].revents().is_empty()
}

/// Tells who asks; the document `/large` is long.
fn serve_document(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, peer) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n")?;
    if request.starts_with(b"GET /large ") {
        stream.write_all(&large())
    } else {
        writeln!(stream, "you are {}", peer.ip())
    }
}

/// The contents of the document `/large`.
#[must_use]
pub fn large() -> Vec<u8> {
    let numbers = (0_u32..).flat_map(u32::to_le_bytes);
    numbers.take(LARGE_LEN).collect()
}

/// Answers a question for [`NAME`]'s IPv4 address; there is nothing else (RFC 1035, 4.1).
fn answer_question(socket: &UdpSocket) -> io::Result<()> {
    let mut question = [0; 512];
    let (len, peer) = socket.recv_from(&mut question)?;
    let mut name = Vec::new();
    for label in NAME.split('.') {
        name.push(u8::try_from(label.len()).unwrap_or(0));
        name.extend(label.as_bytes());
    }
    name.push(0);
    // The question is the name, its type and its class.
    let end = (12 + name.len() + 4).min(len);
    let asked = &question[12.min(end)..end];
    let is_known = asked.starts_with(&name);
    let has_address = is_known && asked.ends_with(&[0, 1, 0, 1]);
    // An answer, with recursion; no such name where it is none.
    let mut answer = [
        &question[..2],
        &[
            0x81,
            if is_known { 0x80 } else { 0x83 },
            0,
            1,
            0,
            u8::from(has_address),
            0,
            0,
            0,
            0,
        ],
    ]
    .concat();
    answer.extend(asked);
    if has_address {
        // The name is the question's, the address lives a minute.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(AWAY.octets());
    }
    socket.send_to(&answer, peer).map(drop)
}

/// What comes of `work` in a network namespace.
///
/// # Panics
/// Where there is no such namespace, or where `work` does.
pub fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(Path::new("/run/netns").join(namespace)).unwrap();
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        });
        worker.join().unwrap()
    })
}

/// All that somebody in a namespace hears of an HTTP service, or why nothing.
///
/// # Errors
/// Where nobody answers.
pub fn get(namespace: &str, address: impl Into<IpAddr>, port: u16, path: &str) -> io::Result<Vec<u8>> {
    let address = SocketAddr::from((address, port));
    let said = inside(namespace, || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        stream.shutdown(Shutdown::Write)?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said)?;
        io::Result::Ok(said)
    })?;
    let head = said.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    // A port that is only held is closed without a word.
    head.map(|at| said[at + 4..].to_vec())
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// What is answered to a datagram.
///
/// # Errors
/// Where nothing is.
pub fn ask(namespace: &str, address: Ipv4Addr, port: u16, question: &[u8]) -> io::Result<Vec<u8>> {
    inside(namespace, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((address, port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(question)?;
        let mut answer = vec![0; 2048];
        let len = socket.recv(&mut answer)?;
        answer.truncate(len);
        Ok(answer)
    })
}

/// What a program says that runs in a namespace; its arguments are separated by spaces.
///
/// # Errors
/// Where it fails.
pub fn said(namespace: &str, line: &str) -> Result<String> {
    run(&format!("nsenter --net=/run/netns/{namespace} {line}"))
}

fn run(line: &str) -> Result<String> {
    let mut words = line.split(' ');
    let ran = ran(Command::new(words.next().unwrap_or_default()).args(words), b"")?;
    if ran.code != 0 {
        bail!("{line}: {ran}");
    }
    Ok(ran.text())
}
