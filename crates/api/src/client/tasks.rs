//! The calls about tasks.

use hyper::Method;

use super::body::Outgoing;
use super::system::push_number;
use super::{Attached, Client, ClientError, Lines, answer, percent_encode};
use crate::exec::{ExecRequest, Process, ProcessList};
use crate::output::{LogLine, LogsQuery};
use crate::route;
use crate::stats::{StatsList, TaskStats};
use crate::task::{RunRequest, SignalRequest, StopRequest, Task, TaskList};

impl Client {
    /// Creates a task, attaches to it and starts it, in one request; the task's id, and its stream.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn run(&self, request: &RunRequest) -> Result<(String, Attached), ClientError> {
        let (headers, attached) = self.upgrade(route::RUN, Outgoing::json(request)).await?;
        let id = headers.get(route::TASK_HEADER).and_then(|id| id.to_str().ok());
        let id = id.ok_or_else(|| answer(&format!("POST {}", route::RUN), "it does not name the task"))?;
        Ok((id.to_owned(), attached))
    }

    /// Creates a task, which waits to be started or attached to.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn create_task(&self, request: &RunRequest) -> Result<Task, ClientError> {
        self.json(Method::POST, route::TASKS, Outgoing::json(request)).await
    }

    /// All tasks that are not forgotten.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn tasks(&self) -> Result<Vec<Task>, ClientError> {
        let list: TaskList = self.json(Method::GET, route::TASKS, Outgoing::empty()).await?;
        Ok(list.tasks)
    }

    /// One task, by id, unique prefix of it, or name.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn task(&self, task: &str) -> Result<Task, ClientError> {
        self.json(Method::GET, &path(route::TASK, task), Outgoing::empty())
            .await
    }

    /// Starts a created task without attaching to it.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn start_task(&self, task: &str) -> Result<Task, ClientError> {
        self.json(Method::POST, &path(route::TASK_START, task), Outgoing::empty())
            .await
    }

    /// Stops a task and waits until it has.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn stop_task(&self, task: &str, request: StopRequest) -> Result<Task, ClientError> {
        let body = Outgoing::json(&request);
        self.json(Method::POST, &path(route::TASK_STOP, task), body).await
    }

    /// Forgets a stopped task.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn remove_task(&self, task: &str) -> Result<(), ClientError> {
        let path = path(route::TASK, task);
        self.send(Method::DELETE, &path, Outgoing::empty()).await.map(drop)
    }

    /// Attaches to a task, and starts it where it was only created.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn attach(&self, task: &str) -> Result<Attached, ClientError> {
        self.attach_container(task, None).await
    }

    /// Attaches to a container of a task, the first essential one where none is named.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn attach_container(&self, task: &str, container: Option<&str>) -> Result<Attached, ClientError> {
        let path = with_container(path(route::TASK_ATTACH, task), container);
        let (_, attached) = self.upgrade(&path, Outgoing::empty()).await?;
        Ok(attached)
    }

    /// Sends a signal to a task's processes.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn signal_task(&self, task: &str, request: &SignalRequest) -> Result<(), ClientError> {
        let path = path(route::TASK_SIGNAL, task);
        self.send(Method::POST, &path, Outgoing::json(request)).await.map(drop)
    }

    /// Waits until a task has stopped; how it ended.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn wait_task(&self, task: &str) -> Result<Task, ClientError> {
        self.json(Method::GET, &path(route::TASK_WAIT, task), Outgoing::empty())
            .await
    }

    /// Waits until a task runs, or is over; how it is then.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn wait_until_running(&self, task: &str) -> Result<Task, ClientError> {
        let path = format!("{}?status=RUNNING", path(route::TASK_WAIT, task));
        self.json(Method::GET, &path, Outgoing::empty()).await
    }

    /// Runs a further process in a container of a task; its stream.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn execute(&self, task: &str, request: &ExecRequest) -> Result<Attached, ClientError> {
        let path = path(route::TASK_EXEC, task);
        let (_, attached) = self.upgrade(&path, Outgoing::json(request)).await?;
        Ok(attached)
    }

    /// The processes of a task, or of one of its containers.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn processes(&self, task: &str, container: Option<&str>) -> Result<Vec<Process>, ClientError> {
        let path = with_container(path(route::TASK_PROCESSES, task), container);
        let list: ProcessList = self.json(Method::GET, &path, Outgoing::empty()).await?;
        Ok(list.processes)
    }

    /// What a task's containers wrote.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn task_logs(&self, task: &str, query: &LogsQuery) -> Result<Lines<LogLine>, ClientError> {
        let mut path = format!("{}?follow={}", path(route::TASK_LOGS, task), query.follow);
        if let Some(container) = &query.container {
            path.push_str("&container=");
            path.push_str(&percent_encode(container));
        }
        push_number(&mut path, "since_ms", query.since_ms);
        push_number(&mut path, "until_ms", query.until_ms);
        push_number(&mut path, "tail", query.tail);
        self.lines(Method::GET, &path, Outgoing::empty()).await
    }

    /// What all tasks use that have a microVM.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn stats(&self) -> Result<Vec<TaskStats>, ClientError> {
        let list: StatsList = self.json(Method::GET, route::STATS, Outgoing::empty()).await?;
        Ok(list.stats)
    }

    /// What one task uses.
    ///
    /// # Errors
    /// [`ClientError`]; also where the task has no microVM.
    pub async fn task_stats(&self, task: &str) -> Result<TaskStats, ClientError> {
        self.json(Method::GET, &path(route::TASK_STATS, task), Outgoing::empty())
            .await
    }
}

fn path(template: &str, task: &str) -> String {
    template.replace("{task}", &percent_encode(task))
}

/// A path that asks for one container.
fn with_container(path: String, container: Option<&str>) -> String {
    match container {
        Some(container) => format!("{path}?container={}", percent_encode(container)),
        None => path,
    }
}
