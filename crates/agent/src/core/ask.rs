//! What is asked of tasks that there are.

use std::sync::Arc;

use api::attach::Stop as AttachStop;
use api::error::{ApiError, ErrorCode};
use api::task::Status;
use protocol::guest::{ListedProcess, TerminalSize, Usage};

use super::{Core, Entry, ExecRequest, StopTask};
use crate::host::{Command, Executed, GuestLink, Notice};
use crate::lifecycle::{Event, STOPPED_BY_USER};
use crate::names;
use crate::record::{ContainerStatus, Stop, StopCode, TaskRecord};
use crate::sentence::sentence;
use crate::session::SessionError;

/// What a client without a reason of its own stops a task with.
fn by_user() -> Stop {
    Stop {
        code: StopCode::UserInitiated,
        reason: STOPPED_BY_USER.to_owned(),
    }
}

impl Entry {
    /// Asks the task to end, in the words of an attached client.
    pub async fn ask_to_stop(&self, stop: AttachStop) {
        let event = match stop {
            AttachStop::Gracefully => Event::StopRequested {
                stop: by_user(),
                timeout_seconds: None,
            },
            AttachStop::Kill => Event::KillRequested(by_user()),
            AttachStop::Signal(signal) => Event::SignalRequested {
                container: None,
                signal,
            },
        };
        self.tell(event).await;
    }

    /// The index of the container with this name, or of the first essential one.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidParameter`] where there is none of that name.
    pub fn container(&self, name: Option<&str>) -> Result<usize, ApiError> {
        let task = self.now();
        let mut plans = task.plan.containers.iter();
        match name {
            None => Ok(plans.position(|plan| plan.is_essential).unwrap_or(0)),
            Some(name) => plans.position(|plan| plan.name == name).ok_or_else(|| ApiError {
                code: ErrorCode::InvalidParameter,
                message: format!("task {} has no container {name:?}", names::short(&task.id)),
            }),
        }
    }
}

impl Core {
    /// Starts a created task.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] where it was started before.
    pub async fn start(&self, query: &str) -> Result<Arc<TaskRecord>, ApiError> {
        let entry = self.tasks.find(query)?;
        let task = entry.now();
        if task.status != Status::Provisioning {
            return Err(conflict(&task, "was started before"));
        }
        entry.ask(Event::StartRequested).await;
        Ok(entry.now())
    }

    /// Has a task end. That it is to end is stored when this returns; [`Self::wait`] waits until it has.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`]
    pub async fn stop(&self, query: &str, request: StopTask) -> Result<Arc<TaskRecord>, ApiError> {
        let entry = self.tasks.find(query)?;
        let StopTask { stop, timeout_seconds } = request;
        let event = match timeout_seconds {
            Some(0) => Event::KillRequested(stop),
            timeout_seconds => Event::StopRequested { stop, timeout_seconds },
        };
        entry.ask(event).await;
        Ok(entry.now())
    }

    /// As [`Self::stop`], for a client that gives no reason; waits until it has stopped.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`]
    pub async fn stop_and_wait(&self, query: &str, timeout_seconds: Option<u32>) -> Result<Arc<TaskRecord>, ApiError> {
        let entry = self.tasks.find(query)?;
        let stop = by_user();
        self.stop(query, StopTask { stop, timeout_seconds }).await?;
        Ok(entry.stopped().await)
    }

    /// Waits until a task is as far as `status`, or further.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`]
    pub async fn wait(&self, query: &str, status: Status) -> Result<Arc<TaskRecord>, ApiError> {
        let entry = self.tasks.find(query)?;
        Ok(entry.reached(status).await)
    }

    /// Sends a signal to the processes of one container, or of all that run.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`], [`ErrorCode::InvalidParameter`], [`ErrorCode::Conflict`] where it does not run.
    pub async fn signal(&self, query: &str, container: Option<&str>, signal: u8) -> Result<(), ApiError> {
        let entry = self.tasks.find(query)?;
        let task = entry.now();
        let container = container.map(|name| entry.container(Some(name))).transpose()?;
        if task.status == Status::Stopped {
            return Err(conflict(&task, "has stopped"));
        }
        entry.ask(Event::SignalRequested { container, signal }).await;
        Ok(())
    }

    /// Gives a task these tags instead of those it had.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`], [`ErrorCode::Conflict`] where it has stopped.
    pub async fn tag(&self, query: &str, tags: Vec<(String, String)>) -> Result<(), ApiError> {
        let entry = self.tasks.find(query)?;
        let task = entry.now();
        if task.status == Status::Stopped {
            return Err(conflict(&task, "has stopped"));
        }
        entry.and_wait(|told| Notice::Tagged(tags, told)).await;
        Ok(())
    }

    /// Runs a further process in a container: the one of this name, or the only one that runs. Dropping the answer lets the process run on.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`], [`ErrorCode::InvalidParameter`], [`ErrorCode::Conflict`] where the container does not run.
    pub fn execute(&self, query: &str, container: Option<&str>, request: ExecRequest) -> Result<Executed, ApiError> {
        let entry = self.tasks.find(query)?;
        let task = entry.now();
        if request.argv.first().is_none_or(String::is_empty) {
            return Err(ApiError {
                code: ErrorCode::InvalidParameter,
                message: "no command specified: there is nothing to execute".to_owned(),
            });
        }
        let index = running_container(&entry, &task, container)?;
        let link = guest(&entry, &task)?;
        let command = Command {
            container: task.plan.containers[index].name.clone(),
            argv: request.argv,
            env: request.env,
            working_directory: request.working_directory,
            user: request.user,
            terminal: request.terminal.map(|(columns, rows)| TerminalSize { columns, rows }),
            stdin: request.stdin,
        };
        link.execute(command).map_err(|error| unreachable(&task, &error))
    }

    /// What each container of a task uses, as its guest sees it.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`], [`ErrorCode::Conflict`] where no guest answers.
    pub async fn measure(&self, query: &str) -> Result<Vec<Usage>, ApiError> {
        let entry = self.tasks.find(query)?;
        let task = entry.now();
        let link = guest(&entry, &task)?;
        link.measure().await.map_err(|error| unreachable(&task, &error))
    }

    /// What runs in a task: the processes of one container, or of each.
    ///
    /// # Errors
    /// [`ErrorCode::TaskNotFound`], [`ErrorCode::InvalidParameter`], [`ErrorCode::Conflict`] where no guest answers.
    pub async fn processes(
        &self,
        query: &str,
        container: Option<&str>,
    ) -> Result<Vec<(String, Vec<ListedProcess>)>, ApiError> {
        let entry = self.tasks.find(query)?;
        let task = entry.now();
        let wanted = container.map(|name| entry.container(Some(name))).transpose()?;
        let link = guest(&entry, &task)?;
        let mut listed = vec![];
        for (index, plan) in task.plan.containers.iter().enumerate() {
            if wanted.is_none_or(|wanted| wanted == index) {
                let processes = link.processes(plan.name.clone()).await;
                listed.push((
                    plan.name.clone(),
                    processes.map_err(|error| unreachable(&task, &error))?,
                ));
            }
        }
        Ok(listed)
    }
}

fn running_container(entry: &Entry, task: &TaskRecord, name: Option<&str>) -> Result<usize, ApiError> {
    let runs = |index: usize| task.containers[index].status == ContainerStatus::Running;
    if let Some(name) = name {
        let index = entry.container(Some(name))?;
        return if runs(index) {
            Ok(index)
        } else {
            Err(conflict(task, &format!("does not run its container {name:?} now")))
        };
    }
    let mut running = (0..task.containers.len()).filter(|index| runs(*index));
    match (running.next(), running.next()) {
        (Some(index), None) => Ok(index),
        (None, _) => Err(conflict(task, "runs no container now")),
        (Some(_), Some(_)) => Err(ApiError {
            code: ErrorCode::InvalidParameter,
            message: format!("task {} runs several containers: name one", names::short(&task.id)),
        }),
    }
}

fn guest(entry: &Entry, task: &TaskRecord) -> Result<Arc<GuestLink>, ApiError> {
    let link = entry.guest.borrow().clone();
    link.ok_or_else(|| conflict(task, "has no guest that answers now"))
}

fn conflict(task: &TaskRecord, why: &str) -> ApiError {
    ApiError {
        code: ErrorCode::Conflict,
        message: format!("task {} {why}", names::short(&task.id)),
    }
}

fn unreachable(task: &TaskRecord, error: &SessionError) -> ApiError {
    conflict(task, &format!("cannot be reached: {}", sentence(error)))
}
