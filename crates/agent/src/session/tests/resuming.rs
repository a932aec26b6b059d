//! Sessions that go on where another one ended.

use protocol::window::Sender;

use super::*;

const CONTENT: &[u8] = b"one\ntwo\nthree\n";

fn known() -> Vec<Known> {
    vec![Known {
        process: 7,
        container: "main".to_owned(),
        has_terminal: false,
        has_stdin: true,
    }]
}

/// A session that goes on from `received`, and a guest agent that has answered.
async fn resumed(received: Vec<Received>) -> (Session, Guest) {
    let (here, there) = UnixStream::pair().unwrap();
    let mut session = Session::resume(here, &known(), received.clone());
    let mut guest = Guest(there);
    guest.hello().await;
    session.next().await.unwrap();
    assert_eq!(guest.hear().await, Heard::Message(ToGuest::Resume { received }));
    (session, guest)
}

/// Sends all that `sender` has.
async fn send_all(guest: &mut Guest, sender: &mut Sender) {
    while let Some((offset, content)) = sender.next() {
        let (len, content) = (content.len(), content.to_vec());
        guest.write(7, Stream::Stdout, offset, &content).await;
        sender.was_sent(len);
    }
}

#[tokio::test]
async fn a_stream_goes_on_from_every_point_of_it() {
    let len = u64::try_from(CONTENT.len()).unwrap();
    for stored in 0..=len + 1 {
        let mut sender = Sender::default();
        sender.push(CONTENT);
        sender.end();
        // The host that had it all was killed when it had stored this much.
        let (_session, mut first) = live().await;
        send_all(&mut first, &mut sender).await;
        let of_stdout = (stored > 0).then(|| received(stored));
        let (mut session, mut guest) = resumed(of_stdout.into_iter().collect()).await;
        sender.resume(stored).unwrap();
        guest.say(&ToHost::Resumed).await;
        send_all(&mut guest, &mut sender).await;
        drop(guest);
        let mut bytes = Vec::new();
        let mut ends = 0;
        for event in exhaust(&mut session).await.unwrap() {
            match event {
                SessionEvent::Output { bytes: more, .. } => bytes.extend(more),
                SessionEvent::StreamEnded { offset, .. } => {
                    assert_eq!(offset, len);
                    ends += 1;
                }
                SessionEvent::Resumed => {}
                other => panic!("{other:?}"),
            }
        }
        let begin = usize::try_from(stored).unwrap().min(CONTENT.len());
        assert_eq!(bytes, &CONTENT[begin..]);
        assert_eq!(ends, u64::from(stored <= len));
    }
}

#[tokio::test]
async fn what_happened_before_is_told_again_before_anything_else() {
    let (mut session, mut guest) = resumed(Vec::new()).await;
    guest.say(&ToHost::Started { process: 7 }).await;
    guest.write(7, Stream::Stdout, 0, b"x").await;
    let started = SessionEvent::Started { process: 7 };
    assert_eq!(session.next().await.unwrap(), Some(started));
    assert!(matches!(session.next().await, Err(SessionError::Unexpected(_))));
}

#[tokio::test]
async fn input_goes_on_where_the_guest_agent_says() {
    let (mut session, mut guest) = resumed(Vec::new()).await;
    let commands = session.commands();
    let sending = tokio::spawn(async move { commands.input(7, Bytes::from_static(b"abc")).await });
    let taken = Received {
        stream: Stream::Stdin,
        ..received(40)
    };
    guest.say(&ToHost::Acknowledge(taken)).await;
    guest.say(&ToHost::Resumed).await;
    assert_eq!(session.next().await.unwrap(), Some(SessionEvent::Resumed));
    sending.await.unwrap().unwrap();
    let expected = Heard::Input {
        process: 7,
        offset: 40,
        content: b"abc".to_vec(),
    };
    assert_eq!(guest.hear().await, expected);
}

#[tokio::test]
async fn input_that_is_not_spoken_of_has_ended() {
    let (mut session, mut guest) = resumed(Vec::new()).await;
    guest.say(&ToHost::Resumed).await;
    session.next().await.unwrap();
    let refused = session.commands().input(7, Bytes::from_static(b"x")).await;
    assert!(matches!(refused, Err(SessionError::NoStream { .. })));
}

#[tokio::test]
async fn a_container_is_restarted_in_a_later_session() {
    let (session, mut guest) = resumed(Vec::new()).await;
    let restart = |container: &str| ToGuest::Restart {
        container: container.to_owned(),
        process: 8,
    };
    let commands = session.commands();
    commands.send(&restart("main")).unwrap();
    assert_eq!(guest.hear().await, Heard::Message(restart("main")));
    assert!(matches!(
        commands.send(&restart("other")),
        Err(SessionError::UnknownContainer(_))
    ));
    // It is like its predecessor, input included.
    commands.input(8, Bytes::from_static(b"x")).await.unwrap();
}
