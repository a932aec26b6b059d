//! Names of resources: Amazon Resource Names, and the short forms that requests may have instead.

use super::error::EcsError;

/// The account that everything belongs to.
pub const ACCOUNT: &str = "000000000000";

/// The cluster that is meant where a request names none.
pub const DEFAULT_CLUSTER: &str = "default";

/// The most bytes that an ARN may have.
pub const ARN_LEN_MAX: usize = 2048;

/// A resource, by its ARN's last part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `cluster/NAME`
    Cluster {
        /// Its name.
        name: String,
    },
    /// `task-definition/FAMILY:REVISION`
    TaskDefinition {
        /// Its family.
        family: String,
        /// Its revision.
        revision: u64,
    },
    /// `task/CLUSTER/ID`
    Task {
        /// Its cluster's name.
        cluster: String,
        /// 32 hexadecimal digits.
        id: String,
    },
    /// `container/CLUSTER/TASK/ID`
    Container {
        /// Its cluster's name.
        cluster: String,
        /// Its task's id.
        task: String,
        /// A UUID.
        id: String,
    },
    /// `service/CLUSTER/NAME`
    Service {
        /// Its cluster's name.
        cluster: String,
        /// Its name.
        name: String,
    },
    /// `service-deployment/CLUSTER/SERVICE/ID`
    ServiceDeployment {
        /// Its cluster's name.
        cluster: String,
        /// Its service's name.
        service: String,
        /// Its id.
        id: String,
    },
    /// `service-revision/CLUSTER/SERVICE/ID`
    ServiceRevision {
        /// Its cluster's name.
        cluster: String,
        /// Its service's name.
        service: String,
        /// Its id.
        id: String,
    },
    /// `capacity-provider/NAME`
    CapacityProvider {
        /// Its name.
        name: String,
    },
}

impl Resource {
    /// Its ARN in this region.
    #[must_use]
    pub fn arn(&self, region: &str) -> String {
        let path = match self {
            Self::Cluster { name } => format!("cluster/{name}"),
            Self::TaskDefinition { family, revision } => format!("task-definition/{family}:{revision}"),
            Self::Task { cluster, id } => format!("task/{cluster}/{id}"),
            Self::Container { cluster, task, id } => format!("container/{cluster}/{task}/{id}"),
            Self::Service { cluster, name } => format!("service/{cluster}/{name}"),
            Self::ServiceDeployment { cluster, service, id } => format!("service-deployment/{cluster}/{service}/{id}"),
            Self::ServiceRevision { cluster, service, id } => format!("service-revision/{cluster}/{service}/{id}"),
            Self::CapacityProvider { name } => format!("capacity-provider/{name}"),
        };
        format!("arn:aws:ecs:{region}:{ACCOUNT}:{path}")
    }
}

/// The resource that `arn` names, whatever its partition and region: one host has one of each.
///
/// # Errors
/// Where it is no ARN of ECS's, or of another account.
pub fn parse(arn: &str) -> Result<Resource, EcsError> {
    let invalid = || {
        EcsError::invalid(format!(
            "Invalid identifier: {} is not the ARN of a resource that mote knows",
            shown(arn)
        ))
    };
    if arn.len() > ARN_LEN_MAX {
        return Err(invalid());
    }
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", _, "ecs", _, ACCOUNT, path] = fields.as_slice() else {
        return Err(invalid());
    };
    let owned = str::to_owned;
    let parts: Vec<&str> = path.split('/').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(invalid());
    }
    Ok(match *parts.as_slice() {
        ["cluster", name] => Resource::Cluster { name: owned(name) },
        ["task-definition", name] => {
            let (family, revision) = name.rsplit_once(':').ok_or_else(invalid)?;
            let revision = parse_revision(revision).ok_or_else(invalid)?;
            let family = owned(family);
            Resource::TaskDefinition { family, revision }
        }
        ["task", cluster, id] => Resource::Task {
            cluster: owned(cluster),
            id: owned(id),
        },
        ["container", cluster, task, id] => Resource::Container {
            cluster: owned(cluster),
            task: owned(task),
            id: owned(id),
        },
        ["service", cluster, name] => Resource::Service {
            cluster: owned(cluster),
            name: owned(name),
        },
        ["service-deployment", cluster, service, id] => Resource::ServiceDeployment {
            cluster: owned(cluster),
            service: owned(service),
            id: owned(id),
        },
        ["service-revision", cluster, service, id] => Resource::ServiceRevision {
            cluster: owned(cluster),
            service: owned(service),
            id: owned(id),
        },
        ["capacity-provider", name] => Resource::CapacityProvider { name: owned(name) },
        _ => return Err(invalid()),
    })
}

/// The name of the cluster that a request means: a name, an ARN, or nothing for `default`.
///
/// # Errors
/// Where it is neither.
pub fn cluster(reference: Option<&str>) -> Result<String, EcsError> {
    match reference {
        None | Some("") => Ok(DEFAULT_CLUSTER.to_owned()),
        Some(reference) if is_arn(reference) => match parse(reference)? {
            Resource::Cluster { name } => Ok(name),
            _ => Err(EcsError::invalid(format!(
                "Invalid identifier: {} is not the ARN of a cluster",
                shown(reference)
            ))),
        },
        Some(name) => checked_name("cluster name", name),
    }
}

/// The id of the task that a request means, in this cluster: an id or an ARN. [`None`] where the ARN is another cluster's.
///
/// # Errors
/// Where it is neither.
pub fn task(reference: &str, in_cluster: &str) -> Result<Option<String>, EcsError> {
    if !is_arn(reference) {
        return checked_name("task id", reference).map(Some);
    }
    match parse(reference)? {
        Resource::Task { cluster, id } => Ok((cluster == in_cluster).then_some(id)),
        _ => Err(EcsError::invalid(format!(
            "Invalid identifier: {} is not the ARN of a task",
            shown(reference)
        ))),
    }
}

/// The name of the service that a request means, in this cluster: a name or an ARN. [`None`] where the ARN is another cluster's.
///
/// # Errors
/// Where it is neither.
pub fn service(reference: &str, in_cluster: &str) -> Result<Option<String>, EcsError> {
    if !is_arn(reference) {
        return checked_name("service name", reference).map(Some);
    }
    match parse(reference)? {
        Resource::Service { cluster, name } => Ok((cluster == in_cluster).then_some(name)),
        _ => Err(EcsError::invalid(format!(
            "Invalid identifier: {} is not the ARN of a service",
            shown(reference)
        ))),
    }
}

/// The family and, where there is one, the revision of the definition that a request means: `family`, `family:revision` or an ARN.
///
/// # Errors
/// Where it is none of them.
pub fn task_definition(reference: &str) -> Result<(String, Option<u64>), EcsError> {
    if is_arn(reference) {
        return match parse(reference)? {
            Resource::TaskDefinition { family, revision } => Ok((family, Some(revision))),
            _ => Err(EcsError::invalid(format!(
                "Invalid identifier: {} is not the ARN of a task definition",
                shown(reference)
            ))),
        };
    }
    let Some((family, revision)) = reference.split_once(':') else {
        return Ok((checked_name("family", reference)?, None));
    };
    let revision = parse_revision(revision)
        .ok_or_else(|| EcsError::invalid(format!("Invalid revision number. Number: {}", shown(revision))))?;
    Ok((checked_name("family", family)?, Some(revision)))
}

/// `name`, where it can be that of a cluster, a service or a family: 1 to 255 letters, digits, hyphens and underscores.
///
/// # Errors
/// Where it is not; `what` says of what it is the name.
pub fn checked_name(what: &str, name: &str) -> Result<String, EcsError> {
    let is_fine = (1..=255).contains(&name.len())
        && (name.bytes()).all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if is_fine {
        return Ok(name.to_owned());
    }
    Err(EcsError::invalid(format!(
        "Invalid {what}: {} has to be 1 to 255 letters, digits, hyphens and underscores",
        shown(name)
    )))
}

fn is_arn(reference: &str) -> bool {
    reference.starts_with("arn:")
}

fn parse_revision(revision: &str) -> Option<u64> {
    let is_plain = revision.bytes().all(|byte| byte.is_ascii_digit()) && !revision.starts_with('0');
    revision.parse().ok().filter(|_| is_plain)
}

/// So much of `text` as a message may repeat.
fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 128;
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        format!("\"{shown}…\"")
    } else {
        format!("\"{shown}\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_resource_has_an_arn_that_leads_back_to_it() {
        let word = || "a-b".to_owned();
        let resources = [
            Resource::Cluster { name: word() },
            Resource::TaskDefinition {
                family: word(),
                revision: 7,
            },
            Resource::Task {
                cluster: word(),
                id: word(),
            },
            Resource::Container {
                cluster: word(),
                task: word(),
                id: word(),
            },
            Resource::Service {
                cluster: word(),
                name: word(),
            },
            Resource::ServiceDeployment {
                cluster: word(),
                service: word(),
                id: word(),
            },
            Resource::ServiceRevision {
                cluster: word(),
                service: word(),
                id: word(),
            },
            Resource::CapacityProvider { name: word() },
        ];
        for resource in resources {
            assert_eq!(parse(&resource.arn("eu-west-1")).unwrap(), resource);
        }
    }

    #[test]
    fn short_forms_are_accepted() {
        assert_eq!(cluster(None).unwrap(), "default");
        assert_eq!(
            cluster(Some("arn:aws:ecs:us-east-1:000000000000:cluster/dev")).unwrap(),
            "dev"
        );
        assert_eq!(task_definition("web").unwrap(), ("web".to_owned(), None));
        assert_eq!(task_definition("web:3").unwrap(), ("web".to_owned(), Some(3)));
        let arn = "arn:aws:ecs:us-east-1:000000000000:task-definition/web:3";
        assert_eq!(task_definition(arn).unwrap(), ("web".to_owned(), Some(3)));
        assert_eq!(service("web", "default").unwrap().as_deref(), Some("web"));
        let arn = "arn:aws:ecs:us-east-1:000000000000:task/dev/0123";
        assert_eq!(task(arn, "dev").unwrap().as_deref(), Some("0123"));
        assert_eq!(task(arn, "default").unwrap(), None);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for reference in [
            "web:",
            "web:0",
            "web:-1",
            "web:x",
            "a/b",
            "web:1:2",
            "arn:aws:ecs:r:000000000000:task/a",
        ] {
            assert!(task_definition(reference).is_err(), "{reference}");
        }
        assert!(cluster(Some("arn:aws:ecs:us-east-1:000000000000:task/dev/0123")).is_err());
        assert!(cluster(Some("arn:aws:ecs:us-east-1:111111111111:cluster/dev")).is_err());
        assert!(checked_name("family", &"x".repeat(256)).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,300}") {
            let _ = (parse(&text), cluster(Some(&text)), task_definition(&text), task(&text, "default"));
            let _ = parse(&format!("arn:aws:ecs:us-east-1:000000000000:{text}"));
        }
    }
}
