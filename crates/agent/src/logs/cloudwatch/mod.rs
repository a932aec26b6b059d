//! The calls of `CloudWatch` Logs: [`describe`] groups and streams, [`get`] the events of a stream, [`filter`] those of several, [`manage`]
//! groups. A stream is the output of one container; containers make streams, nobody else does.

mod describe;
mod filter;
mod get;
mod manage;
mod token;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use api::logs::error::{ErrorKind, LogsError};
use api::logs::{EVENTS_MAX, request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::catalogue::{Catalogue, Streams};
use super::store::Logs;

/// How many requests may read logs at the same time: each keeps a thread and a disk busy.
const READS_MAX: usize = 4;

/// Answers the calls. Clones are the same.
#[derive(Clone, Debug)]
pub struct CloudWatch {
    parts: Arc<Parts>,
    reads: Arc<Semaphore>,
}

/// What answers are made of.
#[derive(Debug)]
struct Parts {
    logs: Logs,
    catalogue: Catalogue,
    region: String,
}

/// An answer: HTTP status and document.
pub type Answer = (u16, Value);

impl CloudWatch {
    /// Answers from these logs, whose ARNs are in `region`.
    #[must_use]
    pub fn new(logs: Logs, region: String) -> Self {
        let catalogue = Catalogue::new(logs.clone());
        let parts = Parts {
            logs,
            catalogue,
            region,
        };
        Self {
            parts: Arc::new(parts),
            reads: Arc::new(Semaphore::new(READS_MAX)),
        }
    }

    /// Answers the operation of this name, without [`api::logs::TARGET_PREFIX`].
    pub async fn answer(&self, operation: &str, body: &[u8]) -> Answer {
        match self.try_answer(operation, body).await {
            Ok(document) => (200, document),
            Err(error) => {
                let document = serde_json::to_value(error.document()).unwrap_or_default();
                (error.kind.http_status(), document)
            }
        }
    }

    async fn try_answer(&self, operation: &str, body: &[u8]) -> Result<Value, LogsError> {
        match operation {
            "DescribeLogGroups" => self.run(body, Parts::describe_log_groups).await,
            "DescribeLogStreams" => self.run(body, Parts::describe_log_streams).await,
            "GetLogEvents" => self.run(body, Parts::get_log_events).await,
            "FilterLogEvents" => self.run(body, Parts::filter_log_events).await,
            "CreateLogGroup" => self.run(body, Parts::create_log_group).await,
            "DeleteLogGroup" => self.run(body, Parts::delete_log_group).await,
            "PutRetentionPolicy" => self.run(body, Parts::put_retention_policy).await,
            "DeleteRetentionPolicy" => self.run(body, Parts::delete_retention_policy).await,
            "CreateLogStream" => self.run(body, Parts::create_log_stream).await,
            "DeleteLogStream" => self.run(body, Parts::delete_log_stream).await,
            "TagResource" => self.run(body, Parts::tag_resource).await,
            "UntagResource" => self.run(body, Parts::untag_resource).await,
            "ListTagsForResource" => self.run(body, Parts::list_tags_for_resource).await,
            "TagLogGroup" => self.run(body, Parts::tag_log_group).await,
            "UntagLogGroup" => self.run(body, Parts::untag_log_group).await,
            "ListTagsLogGroup" => self.run(body, Parts::list_tags_log_group).await,
            "PutLogEvents" => Err(LogsError::invalid(
                "PutLogEvents is not supported: on this host only the containers of tasks write logs",
            )),
            _ => {
                let shown: String = operation.chars().take(100).collect();
                Err(LogsError::new(
                    ErrorKind::UnknownOperation,
                    format!("mote has no operation {shown} of CloudWatch Logs"),
                ))
            }
        }
    }

    async fn run<R, A>(&self, body: &[u8], operate: fn(&Parts, R) -> Result<A, LogsError>) -> Result<Value, LogsError>
    where
        R: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
    {
        let request = request::parse(body)?;
        let failed = |what: &str| LogsError::new(ErrorKind::ServiceUnavailable, what);
        let permit = self.reads.clone().acquire_owned().await;
        let permit = permit.map_err(|_| failed("the host agent ends"))?;
        let parts = self.parts.clone();
        let answered = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let answer = operate(&parts, request)?;
            serde_json::to_value(answer)
                .map_err(|error| LogsError::new(ErrorKind::ServiceUnavailable, error.to_string()))
        });
        answered.await.map_err(|_| failed("the logs could not be read"))?
    }
}

impl Parts {
    fn groups(&self) -> Result<BTreeMap<String, Streams>, LogsError> {
        self.catalogue.groups().map_err(|error| unavailable(&error))
    }

    /// The streams of a group that there is.
    fn streams(&self, group: &str) -> Result<Streams, LogsError> {
        self.groups()?.remove(group).ok_or_else(LogsError::group_not_found)
    }
}

/// The logs cannot be read or written.
fn unavailable(error: &io::Error) -> LogsError {
    tracing::warn!(%error, "cannot answer for the logs");
    LogsError::new(ErrorKind::ServiceUnavailable, format!("the host agent failed: {error}"))
}

/// How many are wanted at most.
fn checked_limit(limit: Option<usize>, limit_max: usize) -> Result<usize, LogsError> {
    match limit {
        None => Ok(limit_max),
        Some(limit) if (1..=limit_max).contains(&limit) => Ok(limit),
        Some(limit) => Err(LogsError::invalid(format!(
            "limit is {limit} and may be 1 to {limit_max}"
        ))),
    }
}

/// How many events are wanted at most.
fn events_limit(limit: Option<usize>) -> Result<usize, LogsError> {
    checked_limit(limit, EVENTS_MAX)
}

/// Nothing is masked, so nothing can be unmasked.
fn refuse_unmask(unmask: Option<bool>) -> Result<(), LogsError> {
    match unmask {
        Some(true) => Err(LogsError::invalid(
            "unmask is not supported: no data is masked on this host",
        )),
        _ => Ok(()),
    }
}
