//! The host agent's own route to logs: [`api::route::TASK_LOGS`], lines of [`LogLine`], also as they come.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use api::error::{ApiError, ErrorCode};
use api::output::{LogLine, LogSource, LogsQuery};
use api::route;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::future::{BoxFuture, select_all};
use futures_util::stream;

use super::entry::Source;
use super::merge::{Merge, Range};
use super::reader::Event;
use super::store::{Follower, Key, Logs};
use crate::clock;

/// What is read before it is sent, in bytes: bounds what a client that reads slowly makes the host agent hold.
const BATCH_LEN: usize = 64 << 10;

/// A task whose logs are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedTask {
    /// Its id.
    pub id: String,
    /// Its containers.
    pub containers: Vec<LoggedContainer>,
}

/// A container whose logs are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedContainer {
    /// Its name.
    pub name: String,
    /// Whether its output is that of a terminal.
    pub has_terminal: bool,
}

/// What the route has to know of tasks.
pub trait LoggedTasks: Send + Sync + 'static {
    /// The task with this id, beginning of an id or name.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`]
    fn find(&self, task: &str) -> Result<LoggedTask, ApiError>;

    /// Waits until the task with this id has stopped, and all that its containers wrote is in the logs; not at all where it is not known any more.
    fn stopped<'a>(&'a self, id: &'a str) -> BoxFuture<'a, ()>;
}

/// The route.
pub fn router(logs: Logs, tasks: Arc<dyn LoggedTasks>) -> Router {
    Router::new()
        .route(route::TASK_LOGS, get(answer))
        .with_state((logs, tasks))
}

type Parts = (Logs, Arc<dyn LoggedTasks>);

async fn answer(
    State((logs, tasks)): State<Parts>,
    Path(task): Path<String>,
    query: Result<Query<LogsQuery>, QueryRejection>,
) -> Response {
    match begin(logs, tasks, &task, query).await {
        Ok(body) => ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response(),
        Err(error) => {
            let status = StatusCode::from_u16(error.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, axum::Json(error)).into_response()
        }
    }
}

async fn begin(
    logs: Logs,
    tasks: Arc<dyn LoggedTasks>,
    task: &str,
    query: Result<Query<LogsQuery>, QueryRejection>,
) -> Result<Body, ApiError> {
    let refused = |message: String| ApiError {
        code: ErrorCode::InvalidParameter,
        message,
    };
    let Query(query) = query.map_err(|error| refused(error.body_text()))?;
    let mut task = tasks.find(task)?;
    if let Some(wanted) = &query.container {
        let names: Vec<&str> = task
            .containers
            .iter()
            .map(|container| container.name.as_str())
            .collect();
        if !names.contains(&wanted.as_str()) {
            let names = names.join(", ");
            return Err(refused(format!("the task has no container {wanted:?}; it has {names}")));
        }
        task.containers.retain(|container| container.name == *wanted);
    }
    let reading = Reading::begin(logs, tasks, task, &query).await;
    let reading = reading.map_err(|error| ApiError {
        code: ErrorCode::Internal,
        message: format!("cannot read the logs: {error}"),
    })?;
    Ok(Body::from_stream(stream::try_unfold(reading, Reading::next)))
}

/// An answer on its way.
struct Reading {
    merge: Merge,
    followers: Vec<Follower>,
    tasks: Arc<dyn LoggedTasks>,
    task: LoggedTask,
    follows: bool,
    until_ms: Option<u64>,
    /// The task has stopped: nothing will be written any more.
    is_over: bool,
}

impl Reading {
    async fn begin(logs: Logs, tasks: Arc<dyn LoggedTasks>, task: LoggedTask, query: &LogsQuery) -> io::Result<Self> {
        let keys = task.containers.iter().map(|container| Key {
            task: task.id.clone(),
            container: container.name.clone(),
        });
        let keys: Vec<Key> = keys.collect();
        let followers = keys.iter().map(|key| logs.follow(key.clone())).collect();
        let is_over = is_over(tasks.as_ref(), &task.id);
        let directories: Vec<_> = keys
            .iter()
            .map(|key| (logs.directory(key), is_over && !logs.is_open(key)))
            .collect();
        let range = Range {
            since_ms: query.since_ms,
            until_ms: query.until_ms,
            tail: query.tail.map(|tail| usize::try_from(tail).unwrap_or(usize::MAX)),
        };
        let merge = blocking(move || Merge::open(&directories, range)).await?;
        Ok(Self {
            merge,
            followers,
            tasks,
            task,
            follows: query.follow,
            until_ms: query.until_ms,
            is_over,
        })
    }

    /// The next lines, as soon as there are any.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        loop {
            let is_over = self.is_over;
            let over = self.followers.iter_mut().map(|follower| is_over && !follower.is_open());
            let over: Vec<bool> = over.collect();
            let task = self.task;
            let mut merge = self.merge;
            let read = blocking(move || {
                let mut batch = Vec::new();
                while batch.len() < BATCH_LEN
                    && let Some((at, event)) = merge.next_event(&over)?
                {
                    serde_json::to_writer(&mut batch, &line(&task.containers[at], event))?;
                    batch.push(b'\n');
                }
                Ok((merge, task, over, batch))
            });
            let (over, batch);
            (self.merge, self.task, over, batch) = read.await?;
            if !batch.is_empty() {
                return Ok(Some((batch.into(), self)));
            }
            let has_ended = self.merge.is_done() || over.iter().all(|is_over| *is_over);
            if has_ended || !self.follows {
                return Ok(None);
            }
            if self.wait().await {
                return Ok(None);
            }
        }
    }

    /// Waits until there is more to read; whether the time has come after which nothing is wanted.
    async fn wait(&mut self) -> bool {
        let Self {
            followers,
            tasks,
            task,
            is_over,
            until_ms,
            ..
        } = self;
        let changed = select_all(followers.iter_mut().map(|follower| Box::pin(follower.changed())));
        let until = async {
            match until_ms {
                Some(until_ms) => {
                    tokio::time::sleep(Duration::from_millis(until_ms.saturating_sub(clock::wall_ms()))).await
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = changed => false,
            () = tasks.stopped(&task.id), if !*is_over => {
                *is_over = true;
                false
            }
            () = until => true,
        }
    }
}

/// Whether the task has stopped.
fn is_over(tasks: &dyn LoggedTasks, id: &str) -> bool {
    use futures_util::FutureExt;
    tasks.stopped(id).now_or_never().is_some()
}

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// An event as it is told.
fn line(container: &LoggedContainer, event: Event) -> LogLine {
    let mut bytes = event.line.bytes;
    if event.line.is_ended {
        bytes.push(b'\n');
    }
    let (text, base64) = match String::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(BASE64.encode(error.as_bytes()))),
    };
    LogLine {
        time_ms: event.time_ms,
        container: container.name.clone(),
        source: match event.source {
            Source::Stdout if container.has_terminal => LogSource::Terminal,
            Source::Stdout => LogSource::Stdout,
            Source::Stderr => LogSource::Stderr,
        },
        text,
        base64,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use http_body_util::BodyExt;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use protocol::frame::Piece;
    use protocol::guest::Stream;
    use tokio::sync::watch;

    use super::*;
    use crate::ports::Sink;
    use crate::record::Logging;

    /// One task with two containers, that has stopped once that is set.
    struct OneTask(watch::Receiver<bool>);

    impl LoggedTasks for OneTask {
        fn find(&self, task: &str) -> Result<LoggedTask, ApiError> {
            let container = |name: &str| LoggedContainer {
                name: name.to_owned(),
                has_terminal: name == "b",
            };
            if task != "t" {
                return Err(ApiError {
                    code: ErrorCode::TaskNotFound,
                    message: "there is no such task".to_owned(),
                });
            }
            Ok(LoggedTask {
                id: "t".to_owned(),
                containers: vec![container("a"), container("b")],
            })
        }

        fn stopped<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
            let mut stopped = self.0.clone();
            Box::pin(async move {
                let _ = stopped.wait_for(|has_stopped| *has_stopped).await;
            })
        }
    }

    struct Fixture {
        _directory: tempfile::TempDir,
        logs: Logs,
        stopped: watch::Sender<bool>,
        router: TowerToHyperService<Router>,
    }

    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::new(directory.path().to_owned(), 1 << 20);
        let (stopped, has_stopped) = watch::channel(false);
        let router = router(logs.clone(), Arc::new(OneTask(has_stopped)));
        Fixture {
            _directory: directory,
            logs,
            stopped,
            router: TowerToHyperService::new(router),
        }
    }

    impl Fixture {
        fn sink(&self, container: &str) -> impl Sink + use<> {
            let key = Key {
                task: "t".to_owned(),
                container: container.to_owned(),
            };
            self.logs.open_sink(key, &Logging::default()).unwrap()
        }

        async fn get(&mut self, query: &str) -> Response {
            let request = Request::get(format!("/v1/tasks/t/logs{query}")).body(Body::empty());
            self.router.call(request.unwrap()).await.unwrap()
        }

        /// The container and what it wrote, of each line.
        async fn lines(&mut self, query: &str) -> Vec<String> {
            let response = self.get(query).await;
            assert_eq!(response.status(), 200);
            texts(&response.into_body().collect().await.unwrap().to_bytes())
        }
    }

    fn texts(body: &[u8]) -> Vec<String> {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let text = |line: &[u8]| {
            let line: LogLine = serde_json::from_slice(line).unwrap();
            format!("{}{}", line.container, line.text.or(line.base64).unwrap())
        };
        lines.map(text).collect()
    }

    fn write(sink: &impl Sink, offset: u64, content: &[u8]) {
        let piece = Piece {
            process: 1,
            stream: Stream::Stdout,
            offset,
            content,
        };
        sink.write(&piece).unwrap();
    }

    #[tokio::test]
    async fn lines_of_all_containers_come_in_order_and_can_be_chosen() {
        let mut fixture = fixture();
        let (a, b) = (fixture.sink("a"), fixture.sink("b"));
        write(&a, 0, b"1\n2\n");
        std::thread::sleep(Duration::from_millis(2));
        write(&b, 0, b"3\n\xff\nop");
        assert_eq!(fixture.lines("").await, ["a1\n", "a2\n", "b3\n", "b/wo="]);
        assert_eq!(fixture.lines("?tail=3").await, ["a2\n", "b3\n", "b/wo="]);
        assert_eq!(fixture.lines("?container=a").await, ["a1\n", "a2\n"]);
        assert_eq!(fixture.lines("?until_ms=1").await, [""; 0]);
        assert_eq!(fixture.lines("?since_ms=1&tail=1").await, ["b/wo="]);
        drop((a, b));
        fixture.stopped.send_replace(true);
        assert_eq!(fixture.lines("?tail=1&follow=true").await, ["bop"]);
        assert_eq!(fixture.get("?container=x").await.status(), 400);
        assert_eq!(fixture.get("?color=x").await.status(), 400);
    }

    #[tokio::test]
    async fn what_comes_later_is_followed_to_the_end_of_the_task() {
        let mut fixture = fixture();
        let mut body = fixture.get("?follow=true").await.into_body();
        let sink = fixture.sink("a");
        write(&sink, 0, b"1\n");
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(texts(&frame), ["a1\n"]);
        write(&sink, 2, b"2");
        drop(sink);
        fixture.stopped.send_replace(true);
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!(texts(&rest), ["a2"]);
    }
}
