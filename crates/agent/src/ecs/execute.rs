//! `ExecuteCommand`.

use api::ecs::arn::Resource;
use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::exec::{ExecuteCommandAnswer, ExecuteCommandRequest};
use api::task::Status;

use super::{Caller, Ecs};
use crate::record::{ContainerStatus, TaskRecord};

/// The longest command, in bytes.
const COMMAND_LEN_MAX: usize = 8192;

impl Ecs {
    pub(super) async fn execute_command(
        &self,
        caller: &Caller,
        request: &ExecuteCommandRequest,
    ) -> Result<ExecuteCommandAnswer, EcsError> {
        let cluster = self.catalogue.active_cluster(request.cluster.as_deref())?;
        let task = self
            .task(&request.task, &cluster)?
            .ok_or_else(EcsError::task_not_found)?;
        if !request.interactive {
            return Err(EcsError::invalid("Interactive is the only mode supported currently."));
        }
        if !task.plan.can_execute {
            return Err(EcsError::invalid(
                "The execute command failed because execute command was not enabled when the task was run or the execute command agent \
                 isn’t running. Wait and try again or run a new task with execute command enabled and try again.",
            ));
        }
        let container = container(&task, request.container.as_deref())?;
        let is_running = task.status == Status::Running
            && task
                .containers
                .get(container)
                .is_some_and(|known| known.status == ContainerStatus::Running);
        if !is_running {
            let message =
                "The execute command failed due to an internal error. Try again later: the container does not run now.";
            return Err(EcsError::new(ErrorKind::TargetNotConnected, message));
        }
        let command = words(&request.command)?;
        let session = self.sessions.open(&task, container, command).await?;
        let id = Resource::Container {
            cluster: cluster.clone(),
            task: task.id.clone(),
            id: task.containers[container].id.clone(),
        };
        Ok(ExecuteCommandAnswer {
            cluster_arn: Resource::Cluster { name: cluster.clone() }.arn(&caller.region),
            container_arn: id.arn(&caller.region),
            container_name: task.plan.containers[container].name.clone(),
            interactive: true,
            session,
            task_arn: Resource::Task {
                cluster,
                id: task.id.clone(),
            }
            .arn(&caller.region),
        })
    }
}

/// The index of the container that a request means; the only one where it means none.
fn container(task: &TaskRecord, name: Option<&str>) -> Result<usize, EcsError> {
    let containers = &task.plan.containers;
    match name.filter(|name| !name.is_empty()) {
        Some(name) => {
            let index = containers.iter().position(|container| container.name == name);
            index.ok_or_else(|| EcsError::invalid(format!("The task has no container {name:?}.")))
        }
        None if containers.len() == 1 => Ok(0),
        None => Err(EcsError::invalid("container is needed: the task has several.")),
    }
}

/// The words of a command line, as a shell splits them: at spaces outside of quotes; a backslash takes the next character as it is.
fn words(line: &str) -> Result<Vec<String>, EcsError> {
    if line.len() > COMMAND_LEN_MAX || line.contains('\0') {
        return Err(EcsError::invalid(format!(
            "command has to have at most {COMMAND_LEN_MAX} bytes."
        )));
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = characters
                    .next()
                    .ok_or_else(|| EcsError::invalid("command ends with a backslash."))?;
                // Between double quotes, only these are special.
                if quote.is_some() && !matches!(next, '"' | '\\' | '$' | '`') {
                    word.get_or_insert_default().push('\\');
                }
                word.get_or_insert_default().push(next);
            }
            (None, space) if space.is_whitespace() => words.extend(word.take()),
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    if quote.is_some() {
        return Err(EcsError::invalid("command has a quote that is not closed."));
    }
    words.extend(word);
    if words.is_empty() {
        return Err(EcsError::invalid("command is empty."));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_command_line_is_split_as_a_shell_splits_it() {
        let check = |line: &str, wanted: &[&str]| assert_eq!(words(line).unwrap(), wanted, "{line}");
        check("/bin/sh", &["/bin/sh"]);
        check("  sh -c  'echo  $HOME' ", &["sh", "-c", "echo  $HOME"]);
        check(r#"a "b \" c" d\ e '' "x\y""#, &["a", "b \" c", "d e", "", r"x\y"]);
        for wrong in ["", "  ", "'a", "a\\"] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn splitting_never_panics(line in ".{0,200}") {
            let _ = words(&line);
        }
    }
}
