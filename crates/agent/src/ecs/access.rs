//! Which role may call which operation.

use api::ecs::error::{EcsError, ErrorKind};
use api::identity::Role;

/// What may be called to run and stop tasks and services, beside what tells something.
const RUN: &[&str] = &[
    "RunTask",
    "StopTask",
    "ExecuteCommand",
    "UpdateTaskProtection",
    "RegisterTaskDefinition",
    "DeregisterTaskDefinition",
    "CreateService",
    "UpdateService",
    "DeleteService",
    "StopServiceDeployment",
    "TagResource",
    "UntagResource",
];

/// The role that an operation needs at least. What is not known to need less needs the most.
#[must_use]
pub fn needed(operation: &str) -> Role {
    let tells = ["Describe", "List", "Get", "Filter"]
        .iter()
        .any(|verb| operation.starts_with(verb));
    match operation {
        _ if tells => Role::ReadOnly,
        _ if RUN.contains(&operation) => Role::Run,
        _ => Role::Admin,
    }
}

/// Whether who has `role` may do what needs `needed`.
#[must_use]
pub const fn allows(role: Role, needed: Role) -> bool {
    matches!(
        (role, needed),
        (Role::Admin, _) | (Role::Run, Role::Run | Role::ReadOnly) | (Role::ReadOnly, Role::ReadOnly)
    )
}

/// Checks that `role` may call `operation` of `service`.
///
/// # Errors
/// [`ErrorKind::AccessDenied`]
pub fn check(role: Role, service: &str, operation: &str) -> Result<(), EcsError> {
    let needed = needed(operation);
    if allows(role, needed) {
        return Ok(());
    }
    let message = format!(
        "The access key is of role {} and is not authorized to perform {service}:{operation}, which needs role {}.",
        role.name(),
        needed.name()
    );
    Err(EcsError::new(ErrorKind::AccessDenied, message))
}

#[cfg(test)]
mod tests {
    use api::ecs::members::OPERATIONS;

    use super::*;

    #[test]
    fn who_may_only_look_changes_nothing() {
        for operation in OPERATIONS {
            let tells = ["Describe", "List", "Get"]
                .iter()
                .any(|verb| operation.name.starts_with(verb));
            assert_eq!(
                check(Role::ReadOnly, "ecs", operation.name).is_ok(),
                tells,
                "{}",
                operation.name
            );
            assert!(check(Role::Admin, "ecs", operation.name).is_ok());
        }
        assert!(check(Role::Run, "ecs", "RunTask").is_ok());
        assert!(check(Role::Run, "ecs", "DeleteCluster").is_err());
        assert!(RUN.iter().all(|name| api::ecs::members::operation(name).is_some()));
    }
}
