//! The endpoint's ear: a bounded number of connections, short ones, each from an address that says whose it is.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::Tasks;
use super::document::{self, Surroundings};
use super::usage::{self, Moment};
use crate::record::TaskRecord;

/// The most connections at once, of one task and of all.
const CONNECTIONS_MAX: usize = 256;
const CONNECTIONS_PER_TASK_MAX: usize = 8;

/// How long a connection may last.
const CONNECTION_LIFE: Duration = Duration::from_secs(30);

/// What every path begins with.
const VERSION: &str = "/v4/";

/// Answers on `listener` what tasks ask about themselves, for as long as it is polled.
pub async fn serve(listener: TcpListener, tasks: Arc<dyn Tasks>, place: Surroundings) {
    let open = Arc::new(Open::default());
    let place = Arc::new(place);
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors: others are given back some time.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let IpAddr::V4(address) = peer.ip() else { continue };
        // Whoever has too many sees this one closed.
        if let Some(place_taken) = Open::enter(&open, address) {
            let (tasks, place) = (Arc::clone(&tasks), Arc::clone(&place));
            tokio::spawn(async move {
                let _ = tokio::time::timeout(CONNECTION_LIFE, converse(stream, address, tasks, place)).await;
                drop(place_taken);
            });
        }
    }
}

async fn converse(stream: TcpStream, address: Ipv4Addr, tasks: Arc<dyn Tasks>, place: Arc<Surroundings>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let (tasks, place) = (Arc::clone(&tasks), Arc::clone(&place));
        async move {
            let path = request.uri().path().to_owned();
            let is_get = request.method() == Method::GET;
            Ok::<_, Infallible>(respond(answer(is_get, &path, address, tasks.as_ref(), &place).await))
        }
    });
    // A guest that breaks off needs no answer.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

fn respond((status, document): (StatusCode, Value)) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The answer to a question from `address`.
pub(super) async fn answer(
    is_get: bool,
    path: &str,
    address: Ipv4Addr,
    tasks: &dyn Tasks,
    place: &Surroundings,
) -> (StatusCode, Value) {
    if !is_get {
        return refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "the task metadata endpoint is only read",
        );
    }
    let Some(rest) = path.strip_prefix(VERSION) else {
        return refusal(
            StatusCode::NOT_FOUND,
            "there is nothing at this path; see ECS_CONTAINER_METADATA_URI_V4",
        );
    };
    let (runtime_id, question) = rest.split_once('/').unwrap_or((rest, ""));
    // The same answer for a task that is not there and for one that is another's.
    let found = tasks.at(address);
    let found = found.and_then(|record| document::position(&record, runtime_id).map(|index| (record, index)));
    let Some((record, index)) = found else {
        return refusal(StatusCode::NOT_FOUND, "the task at this address has no such container");
    };
    match question.trim_end_matches('/') {
        "" => found_or_none(document::container(&record, index, place)),
        "task" | "taskWithTags" => (StatusCode::OK, document::task(&record, place)),
        "stats" => statistics(&record, Some(index), tasks).await,
        "task/stats" => statistics(&record, None, tasks).await,
        _ => refusal(
            StatusCode::NOT_FOUND,
            "a container can ask for itself, /task, /stats and /task/stats",
        ),
    }
}

async fn statistics(record: &TaskRecord, index: Option<usize>, tasks: &dyn Tasks) -> (StatusCode, Value) {
    let Ok(readings) = tasks.measure(&record.id).await else {
        return refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the guest does not tell what it uses",
        );
    };
    let since = record.times.connected_ms.unwrap_or(record.times.created_ms);
    let moment = Moment {
        now_ms: now_ms(),
        started_ms: since,
    };
    match index {
        Some(index) => found_or_none(usage::container(record, index, &readings, moment)),
        None => (StatusCode::OK, usage::task(record, &readings, moment)),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn found_or_none(document: Option<Value>) -> (StatusCode, Value) {
    match document {
        Some(document) => (StatusCode::OK, document),
        None => refusal(StatusCode::NOT_FOUND, "there is nothing to tell of this container yet"),
    }
}

fn refusal(status: StatusCode, message: &str) -> (StatusCode, Value) {
    (status, json!({ "message": message }))
}

/// How many connections there are, by address.
#[derive(Debug, Default)]
struct Open {
    // Shared by the listener, which enters, and the connections, which leave.
    counts: Mutex<HashMap<Ipv4Addr, usize>>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
struct Place {
    open: Arc<Open>,
    address: Ipv4Addr,
}

impl Open {
    fn enter(open: &Arc<Self>, address: Ipv4Addr) -> Option<Place> {
        let mut counts = open.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.values().sum::<usize>() >= CONNECTIONS_MAX {
            return None;
        }
        let count = counts.entry(address).or_default();
        if *count >= CONNECTIONS_PER_TASK_MAX {
            return None;
        }
        *count += 1;
        Some(Place {
            open: Arc::clone(open),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.open.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_have_all_connections() {
        let open = Arc::new(Open::default());
        let address = |number: u16| Ipv4Addr::from(0x0a00_0000 + u32::from(number));
        let mut held: Vec<_> = (0..CONNECTIONS_PER_TASK_MAX)
            .map(|_| Open::enter(&open, address(1)).unwrap())
            .collect();
        assert!(Open::enter(&open, address(1)).is_none());
        held.pop();
        held.push(Open::enter(&open, address(1)).unwrap());
        for number in 2.. {
            match Open::enter(&open, address(number)) {
                Some(place) => held.push(place),
                None => break,
            }
        }
        assert_eq!(held.len(), CONNECTIONS_MAX);
        drop(held);
        assert!(open.counts.lock().unwrap().is_empty());
    }
}
