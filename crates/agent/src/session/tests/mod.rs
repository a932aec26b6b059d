//! Tests of a session against a guest agent that is a few lines.

mod input;
mod resuming;

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use protocol::frame::{self, HEADER_LEN, Kind, PIECE_LEN_MAX, Piece};
use protocol::guest::{
    Execute, ExitStatus, Received, Start, Stream, TerminalSize, ToGuest, ToHost, VERSION, WINDOW_LEN,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;

/// What a guest agent hears.
#[derive(Debug, PartialEq)]
enum Heard {
    Message(ToGuest),
    Input {
        process: u32,
        offset: u64,
        content: Vec<u8>,
    },
}

/// The other end.
struct Guest(UnixStream);

impl Guest {
    async fn say(&mut self, message: &ToHost) {
        self.0.write_all(&frame::encode(message).unwrap()).await.unwrap();
    }

    async fn hello(&mut self) {
        self.say(&ToHost::Hello { version: VERSION }).await;
    }

    async fn write(&mut self, process: u32, stream: Stream, offset: u64, content: &[u8]) {
        let piece = Piece {
            process,
            stream,
            offset,
            content,
        };
        self.0.write_all(&frame::piece_header(&piece).unwrap()).await.unwrap();
        self.0.write_all(content).await.unwrap();
    }

    async fn hear(&mut self) -> Heard {
        let mut header = [0; HEADER_LEN];
        self.0.read_exact(&mut header).await.unwrap();
        let kind = frame::parse_kind(header).unwrap();
        let (Kind::Message(len) | Kind::Piece(len)) = kind;
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).await.unwrap();
        match kind {
            Kind::Message(_) => Heard::Message(frame::parse(&bytes).unwrap()),
            Kind::Piece(_) => {
                let piece = frame::parse_piece(&bytes).unwrap();
                assert_eq!(piece.stream, Stream::Stdin);
                Heard::Input {
                    process: piece.process,
                    offset: piece.offset,
                    content: piece.content.to_vec(),
                }
            }
        }
    }

    /// Whether nothing was sent to it yet.
    fn hears_nothing(&self) -> bool {
        self.0
            .try_read(&mut [0])
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn execute(process: u32, stdin: bool, has_terminal: bool) -> ToGuest {
    ToGuest::Execute(Box::new(Execute {
        process,
        container: "main".to_owned(),
        argv: vec!["sh".to_owned()],
        env: Vec::new(),
        working_directory: None,
        user: None,
        terminal: has_terminal.then_some(TerminalSize { columns: 80, rows: 24 }),
        stdin,
    }))
}

fn start() -> ToGuest {
    ToGuest::Start(Box::new(Start {
        hostname: String::new(),
        entropy: Vec::new(),
        vcpus: 1,
        waits_for_vcpus: false,
        growth_mib: 0,
        network: None,
        sysctls: Vec::new(),
        volumes: Vec::new(),
        containers: Vec::new(),
    }))
}

/// A session whose guest agent has said hello and runs process 7, which reads input.
async fn live() -> (Session, Guest) {
    let (here, there) = UnixStream::pair().unwrap();
    let mut session = Session::first(here);
    let mut guest = Guest(there);
    guest.hello().await;
    let hello = SessionEvent::Hello { version: VERSION };
    assert_eq!(session.next().await.unwrap(), Some(hello));
    session.commands().send(&execute(7, true, false)).unwrap();
    assert_eq!(guest.hear().await, Heard::Message(execute(7, true, false)));
    (session, guest)
}

fn received(offset: u64) -> Received {
    Received {
        process: 7,
        stream: Stream::Stdout,
        offset,
    }
}

/// Reads until the session ends or fails.
async fn exhaust(session: &mut Session) -> Result<Vec<SessionEvent>, SessionError> {
    let mut events = Vec::new();
    while let Some(event) = session.next().await? {
        events.push(event);
    }
    Ok(events)
}

#[tokio::test]
async fn messages_go_both_ways_and_become_events() {
    let (mut session, mut guest) = live().await;
    guest.say(&ToHost::Started { process: 7 }).await;
    let status = ExitStatus::Code(3);
    let exited = ToHost::Exited {
        process: 7,
        status,
        out_of_memory: true,
    };
    guest.say(&exited).await;
    drop(guest);
    let expected = [
        SessionEvent::Started { process: 7 },
        SessionEvent::Exited {
            process: 7,
            status,
            out_of_memory: true,
        },
    ];
    assert_eq!(exhaust(&mut session).await.unwrap(), expected);
    let closed = session.commands().send(&ToGuest::Shutdown);
    assert!(matches!(closed, Err(SessionError::Closed)));
}

#[tokio::test]
async fn output_is_acknowledged_when_that_is_worth_a_message_and_at_its_end() {
    let (mut session, mut guest) = live().await;
    let commands = session.commands();
    guest.write(7, Stream::Stdout, 0, b"hello").await;
    let output = SessionEvent::Output {
        process: 7,
        stream: Stream::Stdout,
        offset: 0,
        bytes: Bytes::from_static(b"hello"),
    };
    assert_eq!(session.next().await.unwrap(), Some(output));
    commands.acknowledge(received(5)).unwrap();
    assert!(guest.hears_nothing());
    guest.write(7, Stream::Stdout, 5, b"").await;
    let ended = SessionEvent::StreamEnded {
        process: 7,
        stream: Stream::Stdout,
        offset: 5,
    };
    assert_eq!(session.next().await.unwrap(), Some(ended));
    commands.acknowledge(received(6)).unwrap();
    assert_eq!(guest.hear().await, Heard::Message(ToGuest::Acknowledge(received(6))));
    let never = commands.acknowledge(received(7));
    assert!(matches!(never, Err(SessionError::Stream { .. })));
}

#[tokio::test]
async fn frames_may_come_byte_by_byte() {
    let (mut session, mut guest) = live().await;
    let piece = Piece {
        process: 7,
        stream: Stream::Stderr,
        offset: 0,
        content: b"x",
    };
    let bytes = [
        frame::encode(&ToHost::Started { process: 7 }).unwrap(),
        frame::piece_header(&piece).unwrap().to_vec(),
        b"x".to_vec(),
    ];
    let reading = tokio::spawn(async move { exhaust(&mut session).await });
    for byte in bytes.concat() {
        guest.0.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    drop(guest);
    assert_eq!(reading.await.unwrap().unwrap().len(), 2);
}

/// What a live session says of what a guest agent writes.
async fn refusal(bytes: Vec<u8>) -> String {
    let (mut session, mut guest) = live().await;
    let writing = tokio::spawn(async move {
        // The session may stop reading before the end.
        let _ = guest.0.write_all(&bytes).await;
    });
    let error = exhaust(&mut session).await.unwrap_err();
    drop(session);
    writing.await.unwrap();
    crate::sentence::sentence(&error)
}

fn piece(process: u32, stream: Stream, offset: u64, content: &[u8]) -> Vec<u8> {
    let piece = Piece {
        process,
        stream,
        offset,
        content,
    };
    [&frame::piece_header(&piece).unwrap(), content].concat()
}

#[tokio::test]
async fn what_the_host_has_not_named_is_refused_by_its_number() {
    let unknown = "the guest agent speaks of process 8, which is not known";
    assert_eq!(refusal(piece(8, Stream::Stdout, 0, b"x")).await, unknown);
    let started = frame::encode(&ToHost::Started { process: 8 }).unwrap();
    assert_eq!(refusal(started).await, unknown);
    let own_input = refusal(piece(7, Stream::Stdin, 0, b"x")).await;
    assert_eq!(own_input, "process 7 has no stream Stdin");
}

#[tokio::test]
async fn a_stream_that_breaks_the_rules_is_refused() {
    let stream = "the stream Stdout of process 7 is out of order: ";
    let gap = refusal(piece(7, Stream::Stdout, 1, b"x")).await;
    assert_eq!(
        gap,
        format!("{stream}a piece begins at 1, and the next was to begin at 0")
    );
    let full = vec![0; PIECE_LEN_MAX];
    let flood = (0..3).flat_map(|number| piece(7, Stream::Stdout, number * 32_768, &full));
    let overrun = refusal(flood.collect()).await;
    assert_eq!(
        overrun,
        format!("{stream}more than {WINDOW_LEN} bytes were sent without an acknowledgement")
    );
    let ended = [piece(7, Stream::Stdout, 0, b""), piece(7, Stream::Stdout, 1, b"x")].concat();
    assert_eq!(refusal(ended).await, format!("{stream}something comes behind the end"));
}

#[tokio::test]
async fn a_guest_agent_of_another_version_is_refused() {
    let (here, there) = UnixStream::pair().unwrap();
    let mut session = Session::first(here);
    Guest(there).say(&ToHost::Hello { version: 2 }).await;
    assert!(matches!(session.next().await, Err(SessionError::Version(2))));
}

#[tokio::test]
async fn nothing_comes_before_the_greeting_and_no_second_one() {
    let (here, there) = UnixStream::pair().unwrap();
    let mut session = Session::first(here);
    Guest(there).say(&ToHost::Started { process: 1 }).await;
    assert!(matches!(session.next().await, Err(SessionError::Unexpected(_))));
    let hello = frame::encode(&ToHost::Hello { version: VERSION }).unwrap();
    assert!(refusal(hello).await.contains("a second greeting"));
}

#[tokio::test]
async fn what_is_over_is_forgotten() {
    let (mut session, mut guest) = live().await;
    let commands = session.commands();
    for _ in 0..3 {
        // Its number may be had again, which shows that nothing is left of it.
        commands.send(&execute(9, false, true)).unwrap();
        assert!(matches!(
            commands.send(&execute(9, false, true)),
            Err(SessionError::Duplicate(9))
        ));
        guest.write(9, Stream::Stdout, 0, b"").await;
        session.next().await.unwrap();
        commands
            .acknowledge(Received {
                process: 9,
                ..received(1)
            })
            .unwrap();
        let exited = ToHost::Exited {
            process: 9,
            status: ExitStatus::Code(0),
            out_of_memory: false,
        };
        guest.say(&exited).await;
        session.next().await.unwrap();
    }
}

#[tokio::test]
async fn a_guest_agent_that_does_not_read_is_given_up() {
    let (session, _guest) = live().await;
    let commands = session.commands();
    let mut start = start();
    if let ToGuest::Start(start) = &mut start {
        start.entropy = vec![255; 200_000];
    }
    let refused = (0..100).find_map(|_| commands.send(&start).err());
    assert!(matches!(refused, Some(SessionError::Stuck)));
}

#[tokio::test]
async fn a_vsock_device_is_asked_for_the_port() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("v");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(async move {
        let mut line = [0; 13];
        let (mut device, _) = listener.accept().await.unwrap();
        device.read_exact(&mut line).await.unwrap();
        device.write_all(b"OK 1073741824\nrest").await.unwrap();
        let (mut refusing, _) = listener.accept().await.unwrap();
        refusing.read_exact(&mut line).await.unwrap();
        (line, device)
    });
    let mut connection = connect(&path).await.unwrap();
    let mut rest = [0; 4];
    connection.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"rest");
    let refused = connect(&path).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(&serving.await.unwrap().0, b"CONNECT 1024\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_bytes_end_the_session_or_are_waited_for(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut session, mut guest) = live().await;
            guest.0.write_all(&bytes).await.unwrap();
            drop(guest);
            let _ = tokio::time::timeout(Duration::from_secs(20), exhaust(&mut session)).await.unwrap();
        });
    }
}
