//! The calls of Amazon ECS, over one connection that stays open, as clients keep theirs.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http::Connection;

/// The most tasks of one page, and of one question.
pub const PAGE: usize = 100;

/// What comes before an operation's name.
const TARGET: &str = "AmazonEC2ContainerServiceV20141113.";

/// The family of all tasks.
const FAMILY: &str = "load";

/// A call: its operation, and its body.
pub type Call = (&'static str, String);

/// A client.
pub struct Calls(Connection);

impl Calls {
    /// Connects to the socket at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        Connection::open(path).map(Self)
    }

    /// The answer's text.
    pub fn text(&mut self, operation: &str, body: &str) -> Result<String> {
        let target = format!("{TARGET}{operation}");
        let headers = [
            ("X-Amz-Target", target.as_str()),
            ("Content-Type", "application/x-amz-json-1.1"),
        ];
        self.0.call("POST /", &headers, body)
    }

    /// The answer.
    pub fn call(&mut self, operation: &str, body: &Value) -> Result<Value> {
        let text = self.text(operation, &body.to_string())?;
        serde_json::from_str(&text).with_context(|| format!("the answer to {operation} is no JSON"))
    }

    /// Registers what tasks are made of: one container, with some of what definitions of services have.
    pub fn register(&mut self) -> Result<()> {
        let environment: Vec<Value> = (0..8)
            .map(|index| json!({"name": format!("VARIABLE_{index}"), "value": "a value of some length"}))
            .collect();
        let definition = json!({
            "family": FAMILY, "networkMode": "none", "cpu": "256", "memory": "512",
            "containerDefinitions": [{
                "name": "app", "image": "example/app:1", "command": ["run", "--for", "ever"], "environment": environment,
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "load", "awslogs-stream-prefix": "p"}},
            }],
        });
        self.call("RegisterTaskDefinition", &definition).map(drop)
    }

    /// Runs one task; its ARN.
    pub fn run_one(&mut self) -> Result<String> {
        let (operation, body) = run();
        let answer = self.text(operation, &body)?;
        let mut tasks = accepted(&answer)?;
        tasks.pop().context("no task was accepted")
    }

    /// `lastStatus` of a task.
    pub fn status(&mut self, task: &str) -> Result<String> {
        let answer = self.call("DescribeTasks", &json!({"tasks": [task]}))?;
        let status = answer["tasks"][0]["lastStatus"].as_str();
        let status = status.with_context(|| format!("the task is not described: {answer}"))?;
        if let Some(reason) = answer["tasks"][0]["stoppedReason"].as_str()
            && answer["tasks"][0]["stopCode"] != "UserInitiated"
        {
            bail!("the task stopped: {reason}");
        }
        Ok(status.to_owned())
    }

    /// How many tasks run.
    pub fn running(&mut self) -> Result<u64> {
        let answer = self.call("DescribeClusters", &json!({}))?;
        let count = answer["clusters"][0]["runningTasksCount"].as_u64();
        count.context("the cluster does not tell how many tasks run")
    }
}

/// Asks for one task more.
pub fn run() -> Call {
    (
        "RunTask",
        json!({"taskDefinition": FAMILY, "startedBy": "bench"}).to_string(),
    )
}

/// Asks for a page of the tasks that stopped.
pub fn list_stopped(next: Option<&str>) -> Call {
    let mut body = json!({"desiredStatus": "STOPPED", "maxResults": PAGE});
    if let Some(next) = next {
        body["nextToken"] = json!(next);
    }
    ("ListTasks", body.to_string())
}

/// Asks for these tasks.
pub fn describe(tasks: &[String]) -> Call {
    ("DescribeTasks", json!({"tasks": tasks}).to_string())
}

/// The ARNs of the tasks in an answer to `RunTask`; a failure is an error.
pub fn accepted(answer: &str) -> Result<Vec<String>> {
    let document: Value = serde_json::from_str(answer).context("the answer to RunTask is no JSON")?;
    let tasks = document["tasks"].as_array().filter(|tasks| !tasks.is_empty());
    let tasks = tasks.with_context(|| format!("a task was refused: {answer}"))?;
    let arns = tasks.iter().map(|task| task["taskArn"].as_str().map(str::to_owned));
    arns.collect::<Option<_>>().context("a task has no ARN")
}

/// The ARNs in an answer to `ListTasks`, and what the next page is asked for with.
pub fn page(answer: &str) -> Result<(Vec<String>, Option<String>)> {
    let document: Value = serde_json::from_str(answer).context("the answer to ListTasks is no JSON")?;
    let arns = document["taskArns"].as_array().context("a list has no ARNs")?;
    let arns = arns.iter().map(|arn| arn.as_str().map(str::to_owned));
    let arns = arns.collect::<Option<_>>().context("an ARN is no text")?;
    Ok((arns, document["nextToken"].as_str().map(str::to_owned)))
}

/// Checks that an answer to `DescribeTasks` has so many tasks.
pub fn described(answer: &str, count: usize) -> Result<()> {
    // Reading all of it would take the CPUs that are measured.
    let found = answer.matches("\"taskDefinitionArn\"").count();
    if found != count {
        bail!("{found} tasks are described, not {count}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_is_refused_is_an_error() {
        let arns = accepted(r#"{"tasks":[{"taskArn":"a"}],"failures":[]}"#).unwrap();
        assert_eq!(arns, ["a"]);
        assert!(accepted(r#"{"tasks":[],"failures":[{"reason":"RESOURCE:CPU"}]}"#).is_err());
    }

    #[test]
    fn the_last_page_has_no_next_one() {
        let (arns, next) = page(r#"{"taskArns":["a","b"],"nextToken":"t"}"#).unwrap();
        assert_eq!((arns.len(), next.as_deref()), (2, Some("t")));
        assert_eq!(page(r#"{"taskArns":[]}"#).unwrap(), (vec![], None));
    }

    #[test]
    fn a_task_that_is_missing_is_missed() {
        let answer = r#"{"tasks":[{"taskDefinitionArn":"a"},{"taskDefinitionArn":"a"}]}"#;
        described(answer, 2).unwrap();
        described(answer, 3).unwrap_err();
    }
}
