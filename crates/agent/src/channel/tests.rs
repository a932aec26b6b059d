//! A client on a real socket.

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::execution::{Execution, Input};
use super::message::{self, Message, MessageType, PayloadKind};
use super::payload::Acknowledgement;
use super::{Channels, Opened};

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    sequence: u64,
}

/// A listener with channels, and a session whose process writes in capitals what it gets.
async fn open() -> (Channels, Opened) {
    let channels = Channels::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let router = channels.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let opened = channels
        .open(&authority, Box::new(|| async { Ok(shouting()) }.boxed()))
        .unwrap();
    (channels, opened)
}

fn shouting() -> Execution {
    let (input, mut inputs) = mpsc::channel(4);
    let (outputs, output) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Some(input) = inputs.recv().await {
            let text = match input {
                Input::Bytes(bytes) if *bytes == *b"exit" => break,
                Input::Bytes(bytes) => Bytes::from(bytes.to_ascii_uppercase()),
                Input::Resize { columns, rows } => Bytes::from(format!("{columns}x{rows}")),
                Input::End => break,
            };
            if outputs.send(text).await.is_err() {
                break;
            }
        }
    });
    Execution {
        input,
        output,
        failure: async { None }.boxed(),
    }
}

impl Client {
    async fn connect(opened: &Opened, token: &str) -> Self {
        let (mut socket, _) = connect_async(&opened.stream_url).await.unwrap();
        let open = format!(r#"{{"MessageSchemaVersion":"1.0","RequestId":"r","TokenValue":"{token}","ClientId":"c"}}"#);
        socket.send(Frame::text(open)).await.unwrap();
        Self { socket, sequence: 0 }
    }

    async fn send(&mut self, kind: PayloadKind, payload: &[u8]) {
        let message = Message {
            message_type: MessageType::Input,
            created_ms: 1,
            sequence: self.sequence,
            flags: 0,
            id: [9; 16],
            kind,
            payload,
        };
        self.sequence += 1;
        self.socket.send(Frame::binary(message.to_bytes())).await.unwrap();
    }

    /// The next message that is no acknowledgement; it is acknowledged.
    async fn next(&mut self) -> Option<(MessageType, PayloadKind, String)> {
        loop {
            let bytes = match self.socket.next().await? {
                Ok(Frame::Binary(bytes)) => bytes,
                Ok(Frame::Ping(_)) => continue,
                _ => return None,
            };
            let message = message::parse(&bytes).unwrap();
            if message.message_type == MessageType::Acknowledge {
                continue;
            }
            let content = Acknowledgement {
                message_type: message.message_type.name().to_owned(),
                id: message::uuid_text(&message.id),
                sequence: message.sequence,
                is_sequential: true,
            };
            let acknowledgement = Message {
                message_type: MessageType::Acknowledge,
                sequence: 0,
                payload: &serde_json::to_vec(&content).unwrap(),
                ..message
            };
            self.socket
                .send(Frame::binary(acknowledgement.to_bytes()))
                .await
                .unwrap();
            let payload = String::from_utf8(message.payload.to_vec()).unwrap();
            return Some((message.message_type, message.kind, payload));
        }
    }
}

#[tokio::test]
async fn a_session_from_its_token_to_its_end() {
    let (_, opened) = open().await;
    let mut client = Client::connect(&opened, &opened.token_value).await;
    let (_, kind, _) = client.next().await.unwrap();
    assert_eq!(kind, PayloadKind::HandshakeRequest);
    client
        .send(PayloadKind::HandshakeResponse, br#"{"ProcessedClientActions":[]}"#)
        .await;
    let (_, kind, _) = client.next().await.unwrap();
    assert_eq!(kind, PayloadKind::HandshakeComplete);
    client.send(PayloadKind::Size, br#"{"cols":80,"rows":24}"#).await;
    client.send(PayloadKind::Bytes, b"hello").await;
    let mut shown = String::new();
    while shown != "80x24HELLO" {
        shown += &client.next().await.unwrap().2;
    }
    client.send(PayloadKind::Bytes, b"exit").await;
    let (end, _, document) = client.next().await.unwrap();
    assert_eq!(end, MessageType::ChannelClosed);
    assert!(document.contains(&opened.session_id), "{document}");
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn much_output_passes_the_window() {
    let (_, opened) = open().await;
    let mut client = Client::connect(&opened, &opened.token_value).await;
    let long = "x".repeat(50_000);
    client.send(PayloadKind::Bytes, long.as_bytes()).await;
    client.send(PayloadKind::Bytes, long.as_bytes()).await;
    let mut shown = String::new();
    while shown.len() < 100_000 {
        let (_, kind, text) = client.next().await.unwrap();
        if kind == PayloadKind::Bytes {
            shown += &text;
        }
    }
    assert_eq!(shown, long.to_uppercase().repeat(2));
}

#[tokio::test]
async fn a_token_works_once_and_no_other_does() {
    let (channels, opened) = open().await;
    let mut stranger = Client::connect(&opened, "0").await;
    assert_eq!(stranger.next().await, None);
    let mut client = Client::connect(&opened, &opened.token_value).await;
    assert!(client.next().await.is_some());
    assert!(connect_async(&opened.stream_url).await.is_err());
    assert!(channels.take(&opened.session_id, &opened.token_value).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_token_grows_old() {
    let channels = Channels::default();
    let start = || Box::new(|| async { Err("no".to_owned()) }.boxed()) as super::execution::Start;
    let opened = channels.open("a:1", start()).unwrap();
    tokio::time::advance(super::TOKEN_LIFE).await;
    assert!(channels.take(&opened.session_id, &opened.token_value).is_none());
    channels.open("a:1", start()).unwrap();
    assert_eq!(channels.shared.lock().len(), 1);
}

#[tokio::test]
async fn a_process_that_cannot_begin_says_why() {
    let (channels, opened) = open().await;
    let authority = opened.stream_url.trim_start_matches("ws://").split('/').next().unwrap();
    let start = Box::new(|| async { Err("there is no such program".to_owned()) }.boxed());
    let opened = channels.open(authority, start).unwrap();
    let mut client = Client::connect(&opened, &opened.token_value).await;
    client.next().await.unwrap();
    client.send(PayloadKind::Size, b"{}").await;
    let (end, _, document) = client.next().await.unwrap();
    assert_eq!(end, MessageType::ChannelClosed);
    assert!(document.contains("there is no such program"), "{document}");
}
