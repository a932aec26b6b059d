//! A host, an outside world and guests, each a network namespace; and programs in them that talk.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use network::bridge::shared_name;
use network::{Claim, Lease, Member, Network, PortRequest, Settings, SharedNetwork};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The host's address in the world.
pub const UP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The world's.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The same of IPv6, where a test gives it to them.
pub const UP_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub const OUTSIDE_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// Says to a test's process that it has its namespaces.
const INSIDE: &str = "MOTE_TEST_IN_NAMESPACE";

/// How long an answer is waited for; where none is expected, all of it.
const PATIENCE: Duration = Duration::from_millis(700);

/// A network namespace.
#[derive(Clone)]
pub struct Namespace {
    pub name: String,
    path: PathBuf,
}

impl Namespace {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            path: PathBuf::from("/run/netns").join(name),
        }
    }

    /// Runs `inside` on a thread in the namespace.
    fn spawn<T: Send + 'static>(&self, inside: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let namespace = File::open(&self.path).unwrap();
        thread::spawn(move || {
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network)).unwrap();
            inside()
        })
    }
}

pub struct World {
    pub host: Namespace,
    pub outside: Namespace,
    pub settings: Settings,
    pub claim: Claim,
    guests: Cell<u32>,
}

/// A guest with an interface.
pub struct Guest {
    pub namespace: Namespace,
    pub lease: Lease,
}

impl World {
    /// Runs the test of this name in a fresh world.
    pub fn run(test: &str, inside: impl AsyncFnOnce(&mut World)) {
        if std::env::var_os(INSIDE).is_none() {
            return in_namespaces(test);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { inside(&mut World::make()).await });
    }

    fn make() -> Self {
        for line in [
            "mount -t sysfs sysfs /sys",
            "mount -t tmpfs tmpfs /run",
            "mkdir /run/netns",
            "ip link set lo up",
            "ip netns add outside",
            "ip link add up0 type veth peer name eth0 netns outside",
            "ip address add 192.0.2.1/24 dev up0",
            "ip link set up0 up",
            "ip -n outside address add 192.0.2.2/24 dev eth0",
            "ip -n outside link set eth0 up",
            "ip -n outside link set lo up",
            "ip route add default via 192.0.2.2",
        ] {
            command(line);
        }
        Self {
            host: Namespace {
                name: String::new(),
                path: PathBuf::from("/proc/self/ns/net"),
            },
            outside: Namespace::named("outside"),
            claim: Claim::take("mote0").unwrap(),
            settings: Settings {
                bridge: "mote0".to_owned(),
                subnet: None,
                metadata: Ipv4Addr::new(169, 254, 170, 2),
                resolvers: "/run/resolv.conf".into(),
                spares: 2,
            },
            guests: Cell::new(0),
        }
    }

    /// Gives host and outside world addresses of IPv6.
    pub fn add_ipv6(&self) {
        command(&format!("ip address add {UP_IPV6}/64 dev up0 nodad"));
        command(&format!("ip -n outside address add {OUTSIDE_IPV6}/64 dev eth0 nodad"));
        command(&format!("ip route add default via {OUTSIDE_IPV6}"));
    }

    pub async fn open(&self, kept: &[Lease]) -> Network {
        self.open_with(&[], kept).await
    }

    /// With networks that guests share.
    pub async fn open_with(&self, shared: &[SharedNetwork], kept: &[Lease]) -> Network {
        Network::open(&self.settings, &self.claim, shared, kept).await.unwrap()
    }

    /// A guest with what it was given, set up as the guest agent does it.
    pub async fn guest(&self, network: &Network, ports: &[PortRequest]) -> Guest {
        self.guest_in(network, None, ports).await
    }

    /// A guest of a network that guests share, too.
    pub async fn guest_in(&self, network: &Network, member: Option<Member>, ports: &[PortRequest]) -> Guest {
        let lease = network.attach(member, ports).await.unwrap();
        let around = network.surroundings(&lease).await.unwrap();
        let (bridge, told) = match lease.member {
            Some(_) => (shared_name(around.subnet), " proxy_arp on"),
            None => ("mote0".to_owned(), ""),
        };
        let number = self.guests.get();
        self.guests.set(number + 1);
        let name = format!("guest{number}");
        let Lease { tap, mac, address, .. } = &lease;
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        let (prefix, gateway) = (around.subnet.prefix(), around.subnet.gateway());
        for line in [
            format!("ip netns add {name}"),
            format!("ip netns exec {name} sysctl -qw net.ipv6.conf.default.accept_dad=0"),
            format!("ip netns exec {name} sysctl -qw net.ipv6.conf.default.accept_ra=0"),
            format!("ip netns exec {name} sysctl -qw net.ipv6.conf.default.disable_ipv6=1"),
            format!("ip link delete {tap}"),
            format!("ip link add {tap} type veth peer name eth0 netns {name}"),
            format!("ip link set {tap} master {bridge}"),
            format!(
                "ip link set {tap} type bridge_slave hairpin on learning off flood off mcast_flood off bcast_flood off{told}"
            ),
            format!("ip link set {tap} up"),
            format!("bridge fdb replace {mac} dev {tap} master static"),
            format!("ip -n {name} link set eth0 address {mac} up"),
            format!("ip -n {name} link set lo up"),
            format!("ip -n {name} address add {address}/{prefix} dev eth0"),
            format!("ip -n {name} route add default via {gateway}"),
        ] {
            command(&line);
        }
        if let (Some(address), Some(ipv6)) = (lease.address_ipv6, around.ipv6) {
            for line in [
                format!("ip netns exec {name} sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0"),
                format!("ip -n {name} address add {address}/{} dev eth0 nodad", ipv6.prefix()),
                format!("ip -n {name} route add default via {}", ipv6.gateway()),
            ] {
                command(&line);
            }
        }
        Guest {
            namespace: Namespace::named(&name),
            lease,
        }
    }

    pub fn check_nothing_is_left(&self) {
        let left: Vec<String> = interfaces()
            .into_iter()
            .filter(|name| name.starts_with("mote"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        let tables: Vec<String> = tables().into_iter().filter(|table| table.ends_with("mote")).collect();
        assert!(tables.is_empty(), "{tables:?}");
    }
}

/// Runs the test again in namespaces of its own.
fn in_namespaces(test: &str) {
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--net", "--mount"]);
    unshare.arg(std::env::current_exe().unwrap());
    unshare.args(["--exact", test, "--nocapture"]);
    let output = unshare.env(INSIDE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Runs a program; its arguments are separated by spaces.
#[track_caller]
pub fn command(line: &str) -> String {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The names of the host's interfaces.
pub fn interfaces() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The host's tables of packet filter rules.
pub fn tables() -> Vec<String> {
    command("nft list tables").lines().map(str::to_owned).collect()
}

/// A service that tells everybody who they are, until it is dropped.
pub struct Service {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    fn start(namespace: &Namespace, serve: impl FnOnce(&AtomicBool, &dyn Fn()) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = namespace.spawn(move || serve(&stopped, &|| ready.send(()).unwrap()));
        is_ready.recv().unwrap();
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

fn is_over<T>(result: &io::Result<T>) -> bool {
    let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
    matches!(result, Err(error) if kinds.contains(&error.kind()))
}

pub fn listen(namespace: &Namespace, address: (impl Into<IpAddr>, u16)) -> Service {
    let address = SocketAddr::from(address);
    Service::start(namespace, move |stop, ready| {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        ready();
        while !stop.load(Ordering::Relaxed) {
            let accepted = listener.accept();
            if is_over(&accepted) {
                thread::sleep(Duration::from_millis(2));
                continue;
            }
            let (mut stream, peer) = accepted.unwrap();
            // Whoever is gone hears nothing.
            let _ = write!(stream, "you are {}", peer.ip());
        }
    })
}

pub fn listen_datagrams(namespace: &Namespace, address: (impl Into<IpAddr>, u16)) -> Service {
    let address = SocketAddr::from(address);
    Service::start(namespace, move |stop, ready| {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        ready();
        while !stop.load(Ordering::Relaxed) {
            let mut bytes = [0; 64];
            if let Ok((_, peer)) = socket.recv_from(&mut bytes) {
                let _ = socket.send_to(format!("you are {}", peer.ip()).as_bytes(), peer);
            }
        }
    })
}

/// What is heard over a connection.
pub fn exchange(namespace: &Namespace, address: (impl Into<IpAddr>, u16)) -> Result<String, String> {
    let address = SocketAddr::from(address);
    let client = namespace.spawn(move || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.shutdown(Shutdown::Write)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        // Of a port that is only held.
        if text.is_empty() {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(text)
        }
    });
    client.join().unwrap().map_err(|error: io::Error| error.to_string())
}

/// What is answered to a datagram.
pub fn exchange_datagrams(namespace: &Namespace, address: (impl Into<IpAddr>, u16)) -> Result<String, String> {
    said(namespace, address, b"who am I?").map(|bytes| String::from_utf8(bytes).unwrap())
}

/// What is answered to this datagram.
pub fn said(namespace: &Namespace, address: (impl Into<IpAddr>, u16), question: &[u8]) -> Result<Vec<u8>, String> {
    let question = question.to_vec();
    let address = SocketAddr::from(address);
    let own = match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let client = namespace.spawn(move || {
        let socket = UdpSocket::bind((own, 0))?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(&question)?;
        let mut bytes = vec![0; 1024];
        let len = socket.recv(&mut bytes)?;
        bytes.truncate(len);
        Ok(bytes)
    });
    client.join().unwrap().map_err(|error: io::Error| error.to_string())
}
