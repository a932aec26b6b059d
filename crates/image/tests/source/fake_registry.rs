//! A registry that does as it is told: a few lines of HTTP/1.1 on loopback, one request per connection.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::sample::{Blob, Sample};

/// A request's head.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
}

/// An answer and how it is delivered.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection ends after this many bytes of the body.
    pub cut_after: Option<usize>,
    /// After the cut the connection stays open and silent.
    pub stalls: bool,
    /// The body is sent again and again, without a length.
    pub endless: bool,
}

impl Response {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut_after: None,
            stalls: false,
            endless: false,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

type Handler = dyn Fn(&Request) -> Option<Response> + Send + Sync;

#[derive(Default)]
struct State {
    content: Mutex<HashMap<String, Vec<u8>>>,
    handler: Mutex<Option<Arc<Handler>>>,
    requests: Mutex<Vec<Request>>,
    stalled: Notify,
}

/// The registry. What a handler does not answer is answered from what was pushed.
#[derive(Clone)]
pub struct FakeRegistry {
    pub address: SocketAddr,
    state: Arc<State>,
}

impl FakeRegistry {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let registry = Self { address, state };
        let serving = registry.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(connection).await });
            }
        });
        registry
    }

    /// Makes `sample` the image `name:tag`. Answers its reference.
    pub fn push(&self, name: &str, tag: &str, sample: &Sample) -> String {
        sample.blobs().iter().for_each(|blob| self.push_blob(name, blob));
        self.push_manifest(name, tag, &sample.manifest)
    }

    pub fn push_manifest(&self, name: &str, tag: &str, manifest: &Blob) -> String {
        self.set(&format!("/v2/{name}/manifests/{tag}"), &manifest.bytes);
        self.set(&format!("/v2/{name}/manifests/{}", manifest.digest), &manifest.bytes);
        format!("{}/{name}:{tag}", self.address)
    }

    pub fn push_blob(&self, name: &str, blob: &Blob) {
        self.set(&format!("/v2/{name}/blobs/{}", blob.digest), &blob.bytes);
    }

    /// Replaces what is answered to `path`.
    pub fn set(&self, path: &str, body: &[u8]) {
        self.state.content.lock().unwrap().insert(path.into(), body.into());
    }

    /// Asks `handler` first from now on.
    pub fn on(&self, handler: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static) {
        *self.state.handler.lock().unwrap() = Some(Arc::new(handler));
    }

    /// Requests so far whose path holds `part`.
    pub fn requests(&self, part: &str) -> Vec<Request> {
        self.state
            .requests
            .lock()
            .unwrap()
            .iter()
            .filter(|request| request.path.contains(part))
            .cloned()
            .collect()
    }

    /// Waits until a response has stalled.
    pub async fn stalled(&self) {
        self.state.stalled.notified().await;
    }

    /// What is answered without a handler.
    pub fn answer(&self, request: &Request) -> Response {
        if request.path == "/v2/" {
            return Response::new(200, "{}");
        }
        let content = self.state.content.lock().unwrap();
        let Some(body) = content.get(&request.path) else {
            return Response::new(
                404,
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            );
        };
        let range = request
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        match range.and_then(|offset| offset.parse::<usize>().ok()) {
            Some(offset) => Response::new(206, &body[offset..]),
            None => Response::new(200, body.clone()),
        }
    }

    async fn serve(&self, mut connection: TcpStream) {
        let Some(request) = read_request(&mut connection).await else {
            return;
        };
        let handler = self.state.handler.lock().unwrap().clone();
        self.state.requests.lock().unwrap().push(request.clone());
        let response = handler
            .and_then(|handler| handler(&request))
            .unwrap_or_else(|| self.answer(&request));
        // A client that has gone away is no concern of a registry.
        let _ = self.respond(&mut connection, &response).await;
    }

    async fn respond(&self, connection: &mut TcpStream, response: &Response) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Fake\r\nConnection: close\r\n", response.status);
        for (name, value) in &response.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !response.endless {
            head += &format!("Content-Length: {}\r\n", response.body.len());
        }
        connection.write_all((head + "\r\n").as_bytes()).await?;
        let sent = response.cut_after.unwrap_or(response.body.len());
        connection.write_all(&response.body[..sent]).await?;
        if response.endless {
            // Ends when the client has had enough.
            loop {
                connection.write_all(&response.body).await?;
            }
        }
        if response.stalls {
            self.state.stalled.notify_one();
            // Ends when the client gives up.
            let _ = connection.read(&mut [0; 1]).await;
        }
        connection.shutdown().await
    }
}

/// Reads a head. None if it is no HTTP, such as the start of a TLS handshake.
async fn read_request(connection: &mut TcpStream) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
        if !head[0].is_ascii_uppercase() {
            return None;
        }
    }
    let text = String::from_utf8(head).ok()?;
    let mut lines = text.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.into()));
    Some(Request {
        method,
        path,
        headers: headers.collect(),
    })
}
