//! The JSON documents in messages of the data channel.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::message::PAYLOAD_LEN_MAX;

/// The first message of a connection, as text: who connects.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenDataChannel {
    /// What the host gave for this session.
    pub token_value: String,
}

/// What has arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The type of the message.
    #[serde(rename = "AcknowledgedMessageType")]
    pub message_type: String,
    /// Its id.
    #[serde(rename = "AcknowledgedMessageId")]
    pub id: String,
    /// Its place in the sequence.
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    pub sequence: u64,
    /// It always is.
    #[serde(rename = "IsSequentialMessage")]
    pub is_sequential: bool,
}

/// The size of the client's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Size {
    /// Columns.
    pub cols: u32,
    /// Rows.
    pub rows: u32,
}

/// What the client did of what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeResponse {
    /// Why it could not.
    #[serde(default)]
    pub errors: Option<Vec<String>>,
}

/// Takes a document from a payload or a text.
#[must_use]
pub fn parse<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Option<T> {
    if payload.len() > PAYLOAD_LEN_MAX {
        return None;
    }
    serde_json::from_slice(payload).ok()
}

/// What a client is asked for: to behave as for an interactive command.
#[must_use]
pub fn handshake_request() -> Vec<u8> {
    let request = json!({
        "AgentVersion": concat!("3.3.0.0-mote-", env!("CARGO_PKG_VERSION")),
        "RequestedClientActions": [{
            "ActionType": "SessionType",
            "ActionParameters": {"SessionType": "InteractiveCommands", "Properties": null},
        }],
    });
    request.to_string().into_bytes()
}

/// The session begins.
#[must_use]
pub fn handshake_complete(took_ms: u64) -> Vec<u8> {
    let complete = json!({"HandshakeTimeToComplete": took_ms.saturating_mul(1_000_000), "CustomerMessage": ""});
    complete.to_string().into_bytes()
}

/// The session has ended; `output` says why, where that is not plain.
#[must_use]
pub fn channel_closed(session: &str, id: &str, created_ms: u64, output: &str) -> Vec<u8> {
    let closed = json!({
        "MessageId": id,
        "CreatedDate": created_ms.to_string(),
        "DestinationId": session,
        "SessionId": session,
        "MessageType": "channel_closed",
        "SchemaVersion": 1,
        "Output": output,
    });
    closed.to_string().into_bytes()
}
