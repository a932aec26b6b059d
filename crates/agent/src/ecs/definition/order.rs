//! What containers wait for.

use std::collections::HashSet;

use api::ecs::containers::ContainerDefinition;
use api::ecs::error::EcsError;

/// Checks that containers wait for others that can fulfil the conditions, and that none waits for itself.
///
/// # Errors
/// The first container that does not.
pub fn check(containers: &[ContainerDefinition]) -> Result<(), EcsError> {
    for container in containers {
        for (other, condition) in dependencies(container) {
            let name = name(container);
            let Some(other) = containers.iter().find(|known| self::name(known) == other) else {
                return Err(EcsError::client(format!(
                    "Invalid 'dependsOn' setting for container '{name}': there is no container '{other}'."
                )));
            };
            check_condition(name, other, condition)?;
        }
    }
    let mut ordered: HashSet<&str> = HashSet::new();
    while ordered.len() < containers.len() {
        let before = ordered.len();
        for container in containers {
            if dependencies(container).all(|(other, _)| ordered.contains(other)) {
                ordered.insert(name(container));
            }
        }
        if ordered.len() == before {
            return Err(EcsError::client(
                "Invalid 'dependsOn' setting: containers depend on each other in a circle.",
            ));
        }
    }
    Ok(())
}

fn check_condition(name: &str, other: &ContainerDefinition, condition: &str) -> Result<(), EcsError> {
    let other_name = self::name(other);
    let why = match condition {
        "HEALTHY" if other.health_check.as_ref().is_none_or(|check| check.command.is_empty()) => "has no health check",
        "COMPLETE" | "SUCCESS" if other.essential.unwrap_or(true) => "is essential: the task would end with it",
        _ => return Ok(()),
    };
    Err(EcsError::client(format!(
        "Invalid 'dependsOn' setting for container '{name}': condition {condition} cannot be fulfilled, since '{other_name}' {why}."
    )))
}

fn dependencies(container: &ContainerDefinition) -> impl Iterator<Item = (&str, &str)> {
    let dependencies = container.depends_on.iter().flatten();
    dependencies.map(|dependency| (dependency.container_name.as_str(), dependency.condition.as_str()))
}

fn name(container: &ContainerDefinition) -> &str {
    container.name.as_deref().unwrap_or_default()
}
