//! The forwarder between a client and name servers, all on the loopback interface.

use std::fs;
use std::net::IpAddr;

use tempfile::TempDir;

use super::*;

const QUESTION: [u8; 16] = [7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, b'w', b'h', b'o', b'?'];

/// A name server that answers every question with its own text.
struct Server {
    address: SocketAddr,
    _stop: DropGuard,
}

impl Server {
    async fn start(ip: &str, port: u16, says: &'static [u8]) -> Self {
        let datagrams = UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), port)).await.unwrap();
        let address = datagrams.local_addr().unwrap();
        let connections = TcpListener::bind(address).await.unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            let by_datagrams = async {
                loop {
                    let mut question = [0; 512];
                    let (len, from) = datagrams.recv_from(&mut question).await.unwrap();
                    // One that answers something else comes first.
                    let mut wrong = answer(&question[..len], b"wrong");
                    wrong[0] ^= 1;
                    datagrams.send_to(&wrong, from).await.unwrap();
                    datagrams.send_to(&answer(&question[..len], says), from).await.unwrap();
                }
            };
            let by_connections = async {
                loop {
                    let (mut stream, _) = connections.accept().await.unwrap();
                    let question = read_message(&mut stream).await.unwrap();
                    write_message(&mut stream, &answer(&question, says)).await.unwrap();
                }
            };
            stopped
                .run_until_cancelled(async { tokio::join!(by_datagrams, by_connections) })
                .await
        });
        Self {
            address,
            _stop: stop.drop_guard(),
        }
    }
}

fn answer(question: &[u8], says: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    answer.extend(says);
    answer
}

struct World {
    folder: TempDir,
    address: SocketAddr,
    _forwarder: Forwarder,
}

impl World {
    /// A forwarder to name servers at this port.
    async fn start(port: u16) -> Self {
        Self::start_with(port, Knowledge::default()).await
    }

    async fn start_with(port: u16, known: Knowledge) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A port that both kinds of sockets can have.
        let free = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let forwarder = Forwarder::start_at(free, folder.path().join("resolv.conf"), port, known)
            .await
            .unwrap();
        Self {
            folder,
            address: free,
            _forwarder: forwarder,
        }
    }

    fn configure(&self, text: &str) {
        fs::write(self.folder.path().join("resolv.conf"), text).unwrap();
    }

    async fn check(&self, expected: &[u8]) {
        self.check_asked(&QUESTION, expected).await;
    }

    /// By datagram and by connection.
    async fn check_asked(&self, question: &[u8], expected: &[u8]) {
        assert_eq!(exchange_datagrams(self.address, question).await.unwrap(), expected);
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        write_message(&mut stream, question).await.unwrap();
        assert_eq!(read_message(&mut stream).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_question_is_passed_on_and_the_answer_comes_back() {
    let server = Server::start("127.0.0.53", 0, b"I").await;
    let world = World::start(server.address.port()).await;
    world.configure("nameserver 127.0.0.53\n");
    world.check(&answer(&QUESTION, b"I")).await;
}

#[tokio::test]
async fn changes_of_the_file_are_followed() {
    let first = Server::start("127.0.0.53", 0, b"first").await;
    let port = first.address.port();
    let _second = Server::start("127.0.0.54", port, b"second").await;
    let world = World::start(port).await;
    world.configure("nameserver 127.0.0.53\n");
    world.check(&answer(&QUESTION, b"first")).await;
    world.configure("nameserver 127.0.0.54\n");
    world.check(&answer(&QUESTION, b"second")).await;
}

#[tokio::test]
async fn the_next_server_is_asked_where_one_refuses() {
    let server = Server::start("127.0.0.53", 0, b"I").await;
    let world = World::start(server.address.port()).await;
    // Nobody is at the first.
    world.configure("nameserver 127.0.0.99\nnameserver 127.0.0.53\n");
    world.check(&answer(&QUESTION, b"I")).await;
}

#[tokio::test]
async fn without_a_server_the_question_fails_at_once() {
    let world = World::start(1).await;
    let failed = failure(&QUESTION);
    assert_eq!((failed[2], failed[3] & 0xf), (0x81, SERVER_FAILED));
    world.check(&failed).await;
    world.configure("nameserver 127.0.0.99\n");
    world.check(&failed).await;
}

#[tokio::test]
async fn what_is_no_question_is_not_answered() {
    let server = Server::start("127.0.0.53", 0, b"I").await;
    let world = World::start(server.address.port()).await;
    world.configure("nameserver 127.0.0.53\n");
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&[1, 2, 3], world.address).await.unwrap();
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    stream.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
    // It ends, one way or the other.
    assert!(stream.read(&mut [0; 8]).await.map_or(true, |len| len == 0));
    world.check(&answer(&QUESTION, b"I")).await;
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let world = World::start(1).await;
    let file = world.folder.path().join("other");
    assert!(
        Forwarder::start_at(world.address, file, 1, Knowledge::default())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn names_of_the_network_are_known_and_others_asked_for_unless_it_is_internal() {
    let server = Server::start("127.0.0.53", 0, b"I").await;
    for is_internal in [false, true] {
        let names = Arc::new(Names::new("front"));
        names.put(Ipv4Addr::new(10, 9, 8, 7), None, "web");
        let known = Knowledge {
            names: Some(Arc::clone(&names)),
            is_internal,
        };
        let world = World::start_with(server.address.port(), known).await;
        world.configure("nameserver 127.0.0.53\n");
        let asked = question::tests::question("web.front", 1);
        world.check_asked(&asked, &names.answer(&asked).unwrap()).await;
        let asked = question::tests::question("away", 1);
        let elsewhere = if is_internal {
            failure(&asked)
        } else {
            answer(&asked, b"I")
        };
        world.check_asked(&asked, &elsewhere).await;
    }
}
