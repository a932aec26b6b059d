//! The data channel of ECS Exec: the websocket that `aws ecs execute-command` speaks through its session manager plugin.
//!
//! `ExecuteCommand` opens a session with [`Channels::open`]; the client then connects to its URL, shows the token, which works once and for
//! [`TOKEN_LIFE`], and only then the process begins. [`message`] is the format, [`payload`] the documents in it, [`sequence`] how both ends keep order,
//! [`conversation`] all of that together without a socket, [`session`] with one, [`execution`] what is at its other end.

pub mod conversation;
pub mod execution;
pub mod message;
pub mod payload;
pub mod sequence;
pub mod session;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{self, CloseFrame, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use execution::Start;
use message::{HEADER_LEN, PAYLOAD_LEN_MAX, hexadecimal};
use payload::OpenDataChannel;

/// The path of a session's websocket.
pub const PATH: &str = "/v1/channel/{session}";

/// How long a token works.
pub const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// The most sessions at a time.
const SESSIONS_MAX: usize = 256;

/// The most connections that have not shown a token yet.
const STRANGERS_MAX: usize = 64;

/// How long a client has to show its token.
const TOKEN_PATIENCE: Duration = Duration::from_secs(15);

/// The sessions of all clients. Clones are the same.
#[derive(Clone)]
pub struct Channels {
    shared: Arc<Shared>,
}

struct Shared {
    // Shared by who opens sessions and who connects; locked for moments.
    waiting: Mutex<HashMap<String, Waiting>>,
    sessions: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

/// A session whose client has not connected yet.
struct Waiting {
    token_digest: [u8; 32],
    until: Instant,
    start: Start,
    permit: OwnedSemaphorePermit,
}

/// A session, as a client is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its name.
    pub session_id: String,
    /// Where to connect.
    pub stream_url: String,
    /// What to show there.
    pub token_value: String,
}

/// Why there is no further session.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// As many are open as can be.
    #[error("{SESSIONS_MAX} sessions are open, and no more can be; end one first")]
    TooMany,
    /// No token could be made.
    #[error("cannot make a token")]
    Token(#[source] io::Error),
}

impl Default for Channels {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                waiting: Mutex::default(),
                sessions: Arc::new(Semaphore::new(SESSIONS_MAX)),
                strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            }),
        }
    }
}

impl Channels {
    /// Opens a session at the listener that clients reach at `authority`, an address and a port. `start` is called when the client is there.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(&self, authority: &str, start: Start) -> Result<Opened, OpenError> {
        let now = Instant::now();
        let mut waiting = self.shared.lock();
        waiting.retain(|_, waiting| waiting.until > now);
        let permit = self.shared.sessions.clone().try_acquire_owned();
        let permit = permit.map_err(|_| OpenError::TooMany)?;
        let session_id = format!("ecs-execute-command-{}", hexadecimal(&random::<9>()?));
        let token_value = hexadecimal(&random::<32>()?);
        waiting.insert(
            session_id.clone(),
            Waiting {
                token_digest: Sha256::digest(&token_value).into(),
                until: now + TOKEN_LIFE,
                start,
                permit,
            },
        );
        Ok(Opened {
            stream_url: format!("ws://{authority}{}", PATH.replace("{session}", &session_id)),
            session_id,
            token_value,
        })
    }

    /// The route of [`PATH`]. It is open to everybody: the token is what is checked.
    pub fn router(&self) -> Router {
        Router::new().route(PATH, get(connect)).with_state(self.clone())
    }

    /// The session, if this is its token: once.
    fn take(&self, session: &str, token: &str) -> Option<Waiting> {
        let mut waiting = self.shared.lock();
        let found = waiting.get(session)?;
        // Of digests: how long the comparison takes tells nothing of the token.
        let digest: [u8; 32] = Sha256::digest(token).into();
        if found.token_digest != digest || found.until <= Instant::now() {
            return None;
        }
        waiting.remove(session)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        // Nothing that holds the lock leaves a change half-done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn connect(State(channels): State<Channels>, Path(session): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    let Ok(stranger) = channels.shared.strangers.clone().try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    if !channels.shared.lock().contains_key(&session) {
        return (
            StatusCode::NOT_FOUND,
            "there is no such session, or its client has connected already",
        )
            .into_response();
    }
    upgrade
        .max_message_size(HEADER_LEN + PAYLOAD_LEN_MAX)
        .max_frame_size(HEADER_LEN + PAYLOAD_LEN_MAX)
        .on_upgrade(async move |mut socket| {
            let shown = timeout(TOKEN_PATIENCE, token(&mut socket)).await;
            let token = shown.ok().flatten();
            let waiting = token.and_then(|token| channels.take(&session, &token));
            let Some((waiting, seed)) = waiting.and_then(|waiting| Some((waiting, random().ok()?))) else {
                refuse(socket).await;
                return;
            };
            drop(stranger);
            let Waiting { start, permit, .. } = waiting;
            session::serve(socket, session, seed, start).await;
            drop(permit);
        })
}

/// The token that the client shows first.
async fn token(socket: &mut WebSocket) -> Option<String> {
    loop {
        match socket.recv().await?.ok()? {
            ws::Message::Text(text) => {
                let open: OpenDataChannel = payload::parse(text.as_bytes())?;
                return Some(open.token_value);
            }
            ws::Message::Ping(_) | ws::Message::Pong(_) => {}
            ws::Message::Binary(_) | ws::Message::Close(_) => return None,
        }
    }
}

async fn refuse(socket: WebSocket) {
    let frame = CloseFrame {
        code: ws::close_code::POLICY,
        reason: "the token is not the one of this session, or is no longer good".into(),
    };
    session::close(socket, Some(frame)).await;
}

fn random<const LEN: usize>() -> Result<[u8; LEN], OpenError> {
    let mut bytes = [0; LEN];
    let mut filled = 0;
    while filled < LEN {
        let got = getrandom(&mut bytes[filled..], GetRandomFlags::empty());
        filled += got.map_err(|errno| OpenError::Token(errno.into()))?;
    }
    Ok(bytes)
}
