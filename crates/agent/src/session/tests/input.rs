//! Input, and the window that it waits for.

use super::*;

#[tokio::test]
async fn input_waits_for_the_window_and_arrives_whole() {
    let (mut session, mut guest) = live().await;
    let commands = session.commands();
    let bytes: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let sending = {
        let (commands, bytes) = (commands.clone(), Bytes::from(bytes.clone()));
        tokio::spawn(async move {
            commands.input(7, bytes).await.unwrap();
            commands.end_input(7).await.unwrap();
        })
    };
    let reading = tokio::spawn(async move { exhaust(&mut session).await });
    let mut arrived = Vec::new();
    loop {
        let Heard::Input { offset, content, .. } = guest.hear().await else {
            panic!("a message");
        };
        assert_eq!(usize::try_from(offset).unwrap(), arrived.len());
        if content.is_empty() {
            break;
        }
        arrived.extend(content);
        let taken = Received {
            stream: Stream::Stdin,
            ..received(u64::try_from(arrived.len()).unwrap())
        };
        guest.say(&ToHost::Acknowledge(taken)).await;
    }
    assert!(arrived == bytes);
    sending.await.unwrap();
    drop(guest);
    reading.await.unwrap().unwrap();
    assert!(commands.input(7, Bytes::from_static(b"x")).await.is_err());
}

#[tokio::test]
async fn input_that_nobody_takes_ends_with_the_process() {
    let (mut session, mut guest) = live().await;
    let commands = session.commands();
    let sending = tokio::spawn(async move { commands.input(7, Bytes::from(vec![0; 100_000])).await });
    let reading = tokio::spawn(async move { exhaust(&mut session).await });
    while !matches!(guest.hear().await, Heard::Input { offset: 32_768, .. }) {}
    let exited = ToHost::Exited {
        process: 7,
        status: ExitStatus::Signal(9),
        out_of_memory: false,
    };
    guest.say(&exited).await;
    assert!(matches!(sending.await.unwrap(), Err(SessionError::NoStream { .. })));
    drop(guest);
    reading.await.unwrap().unwrap();
}
