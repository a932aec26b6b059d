//! One container of a plan.

use api::ecs::containers::{ContainerDefinition, LinuxParameters};
use api::ecs::error::EcsError;
use api::ecs::shapes::NameValue;
use api::ecs::tasks::ContainerOverride;
use image::reference::Reference;

use super::HostPaths;
use crate::record::{
    Condition, ContainerPlan, Dependency, HealthCheck, Logging, MountPlan, PullPolicy, RestartPolicy, Secret,
    VolumePlan,
};

/// Seconds between the stop signal and the kill where a definition says nothing, as ECS has it.
const STOP_TIMEOUT_SECONDS: i64 = 30;

/// Seconds that a container must have run before it is started again, where a definition says nothing, as ECS has it.
const RESTART_PERIOD_SECONDS: i64 = 300;

/// The terminal's first size: columns and rows.
const TERMINAL: (u16, u16) = (80, 24);

/// The options of `awslogs` that are known. All but the first two change nothing here.
const LOG_OPTIONS: &[&str] = &[
    "awslogs-group",
    "awslogs-stream-prefix",
    "awslogs-region",
    "awslogs-create-group",
    "awslogs-endpoint",
    "mode",
    "max-buffer-size",
];

/// Plans a container.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn plan(
    definition: &ContainerDefinition,
    change: &ContainerOverride,
    volumes: &[VolumePlan],
    paths: &HostPaths,
) -> Result<ContainerPlan, EcsError> {
    let container = name(definition);
    let number = |member: &str, value: Option<i64>| number(container, member, value);
    let image = definition.image.clone().unwrap_or_default();
    if let Err(error) = Reference::parse(&image) {
        return Err(invalid(
            container,
            &format!("image {image:?} is no name of an image: {error}"),
        ));
    }
    let linux = definition.linux_parameters.clone().unwrap_or_default();
    let capabilities = linux.capabilities.clone().unwrap_or_default();
    let mut capabilities_added = capabilities.add.unwrap_or_default();
    if definition.privileged.unwrap_or(false) {
        capabilities_added = vec!["ALL".to_owned()];
    }
    let labels = definition.docker_labels.clone().unwrap_or_default();
    Ok(ContainerPlan {
        name: container.to_owned(),
        image,
        pull: PullPolicy::Missing,
        is_essential: definition.essential.unwrap_or(true),
        entrypoint: definition.entry_point.clone(),
        command: change.command.clone().or_else(|| definition.command.clone()),
        env: environment(
            container,
            definition.environment.as_deref(),
            change.environment.as_deref(),
        )?,
        secrets: secrets(definition, change, paths)?,
        working_directory: definition.working_directory.clone().filter(|path| !path.is_empty()),
        user: definition.user.clone().filter(|user| !user.is_empty()),
        terminal: definition.pseudo_terminal.unwrap_or(false).then_some(TERMINAL),
        stdin: definition.interactive.unwrap_or(false),
        cpu_units: number("cpu", change.cpu.or(definition.cpu))?.unwrap_or(0),
        memory_mib: number("memory", change.memory.or(definition.memory))?.filter(|mib| *mib > 0),
        memory_reservation_mib: number(
            "memoryReservation",
            change.memory_reservation.or(definition.memory_reservation),
        )?
        .filter(|mib| *mib > 0),
        depends_on: dependencies(definition)?,
        start_timeout_seconds: number("startTimeout", definition.start_timeout)?,
        stop_timeout_seconds: number("stopTimeout", definition.stop_timeout.or(Some(STOP_TIMEOUT_SECONDS)))?
            .unwrap_or_default(),
        health_check: health_check(definition)?,
        restart: restart(definition)?,
        ulimits: ulimits(definition)?,
        // ECS has no word for it on Fargate; `nproc` is a ulimit.
        pids_max: None,
        capabilities_added,
        capabilities_dropped: capabilities.drop.unwrap_or_default(),
        no_new_privileges: definition
            .docker_security_options
            .as_ref()
            .is_some_and(|options| !options.is_empty()),
        is_read_only: definition.readonly_root_filesystem.unwrap_or(false),
        has_init_process: linux.init_process_enabled.unwrap_or(false),
        shared_memory_mib: number("linuxParameters.sharedMemorySize", linux.shared_memory_size)?.filter(|mib| *mib > 0),
        mounts: mounts(definition, &linux, volumes)?,
        hosts: hosts(definition)?,
        labels: labels.into_iter().collect(),
        logging: logging(definition)?,
    })
}

/// The container's name.
pub fn name(definition: &ContainerDefinition) -> &str {
    definition.name.as_deref().unwrap_or_default()
}

fn invalid(container: &str, what: &str) -> EcsError {
    EcsError::client(format!("Invalid setting for container '{container}': {what}."))
}

fn number(container: &str, member: &str, value: Option<i64>) -> Result<Option<u32>, EcsError> {
    let number = |value: i64| {
        u32::try_from(value).map_err(|_| invalid(container, &format!("{member} is {value}, less than nothing")))
    };
    value.map(number).transpose()
}

fn environment(
    container: &str,
    own: Option<&[NameValue]>,
    change: Option<&[NameValue]>,
) -> Result<Vec<String>, EcsError> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for variable in own.into_iter().flatten().chain(change.into_iter().flatten()) {
        let name = variable.name.clone().unwrap_or_default();
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(invalid(container, &format!("{name:?} is no name of a variable")));
        }
        variables.retain(|(known, _)| *known != name);
        variables.push((name, variable.value.clone().unwrap_or_default()));
    }
    Ok(variables
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect())
}

fn secrets(
    definition: &ContainerDefinition,
    change: &ContainerOverride,
    paths: &HostPaths,
) -> Result<Vec<Secret>, EcsError> {
    let files = definition
        .environment_files
        .iter()
        .flatten()
        .chain(change.environment_files.iter().flatten());
    let files = files.map(|file| {
        let source = paths.file("environmentFiles.value", &file.value)?;
        Ok(Secret { name: None, source })
    });
    let values = definition.secrets.iter().flatten().map(|secret| {
        let source = paths.secret("secrets.valueFrom", &secret.value_from)?;
        let name = Some(secret.name.clone());
        Ok(Secret { name, source })
    });
    files.chain(values).collect()
}

fn dependencies(definition: &ContainerDefinition) -> Result<Vec<Dependency>, EcsError> {
    let dependency = |dependency: &api::ecs::containers::ContainerDependency| {
        let condition = match dependency.condition.as_str() {
            "START" => Condition::Start,
            "COMPLETE" => Condition::Complete,
            "SUCCESS" => Condition::Success,
            "HEALTHY" => Condition::Healthy,
            other => return Err(invalid(name(definition), &format!("{other:?} is no condition"))),
        };
        let container = dependency.container_name.clone();
        Ok(Dependency { container, condition })
    };
    definition.depends_on.iter().flatten().map(dependency).collect()
}

fn health_check(definition: &ContainerDefinition) -> Result<Option<HealthCheck>, EcsError> {
    let Some(check) = &definition.health_check else {
        return Ok(None);
    };
    let container = name(definition);
    let words: Vec<&str> = check.command.iter().map(String::as_str).collect();
    let command: Vec<String> = match words.as_slice() {
        ["NONE"] => return Ok(None),
        ["CMD-SHELL", line] => ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
        ["CMD", program @ ..] if !program.is_empty() => program.iter().map(|word| (*word).to_owned()).collect(),
        _ => {
            return Err(invalid(
                container,
                "healthCheck.command has to be CMD and words, or CMD-SHELL and one line",
            ));
        }
    };
    let within = |member: &str, value: Option<i64>, default: i64, least: u32| {
        let value = number(container, &format!("healthCheck.{member}"), value.or(Some(default)))?.unwrap_or_default();
        if value >= least {
            Ok(value)
        } else {
            Err(invalid(
                container,
                &format!("healthCheck.{member} has to be {least} or more"),
            ))
        }
    };
    Ok(Some(HealthCheck {
        command,
        interval_seconds: within("interval", check.interval, 30, 1)?,
        timeout_seconds: within("timeout", check.timeout, 5, 1)?,
        retries: within("retries", check.retries, 3, 1)?,
        start_period_seconds: within("startPeriod", check.start_period, 0, 0)?,
    }))
}

fn restart(definition: &ContainerDefinition) -> Result<Option<RestartPolicy>, EcsError> {
    let Some(policy) = definition.restart_policy.as_ref().filter(|policy| policy.enabled) else {
        return Ok(None);
    };
    let container = name(definition);
    let codes = policy.ignored_exit_codes.iter().flatten();
    let codes =
        codes.map(|code| u8::try_from(*code).map_err(|_| invalid(container, &format!("{code} is no exit code"))));
    let period = policy.restart_attempt_period.or(Some(RESTART_PERIOD_SECONDS));
    Ok(Some(RestartPolicy {
        ignored_exit_codes: codes.collect::<Result<_, _>>()?,
        attempt_period_seconds: number(container, "restartPolicy.restartAttemptPeriod", period)?.unwrap_or_default(),
    }))
}

/// A limit's name, soft and hard value.
type Limit = (String, Option<u64>, Option<u64>);

fn ulimits(definition: &ContainerDefinition) -> Result<Vec<Limit>, EcsError> {
    let limit = |limit: &api::ecs::containers::Ulimit| {
        let bound = |value: i64| match value {
            -1 => Ok(None),
            value => {
                let refuse = |_| invalid(name(definition), &format!("the ulimit {} is {value}", limit.name));
                u64::try_from(value).map(Some).map_err(refuse)
            }
        };
        let (soft, hard) = (bound(limit.soft_limit)?, bound(limit.hard_limit)?);
        if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
            return Err(invalid(
                name(definition),
                &format!("the soft ulimit {} is above the hard one", limit.name),
            ));
        }
        Ok((limit.name.clone(), soft, hard))
    };
    definition.ulimits.iter().flatten().map(limit).collect()
}

fn mounts(
    definition: &ContainerDefinition,
    linux: &LinuxParameters,
    volumes: &[VolumePlan],
) -> Result<Vec<MountPlan>, EcsError> {
    let container = name(definition);
    let absolute = |path: &str| match path.starts_with('/') {
        true => Ok(path.to_owned()),
        false => Err(invalid(container, &format!("{path:?} is no absolute path to mount at"))),
    };
    let mut mounts = Vec::new();
    for point in definition.mount_points.iter().flatten() {
        let volume = point.source_volume.clone().unwrap_or_default();
        if !volumes.iter().any(|known| known.name == volume) {
            return Err(EcsError::client(format!(
                "Invalid setting for container '{container}'. Unknown volume '{volume}'."
            )));
        }
        let path = absolute(point.container_path.as_deref().unwrap_or_default())?;
        let is_read_only = point.read_only.unwrap_or(false);
        mounts.push(MountPlan::Volume {
            volume,
            path,
            is_read_only,
        });
    }
    for tmpfs in linux.tmpfs.iter().flatten() {
        let size = number(container, "linuxParameters.tmpfs.size", Some(tmpfs.size))?.filter(|size| *size > 0);
        mounts.push(MountPlan::Tmpfs {
            path: absolute(&tmpfs.container_path)?,
            size_mib: size.ok_or_else(|| invalid(container, "linuxParameters.tmpfs.size has to be 1 or more"))?,
            options: tmpfs.mount_options.clone().unwrap_or_default(),
        });
    }
    Ok(mounts)
}

fn hosts(definition: &ContainerDefinition) -> Result<Vec<(std::net::IpAddr, String)>, EcsError> {
    let host = |host: &api::ecs::containers::HostEntry| {
        let refuse = |_| {
            invalid(
                name(definition),
                &format!("extraHosts has {:?}, which is no address", host.ip_address),
            )
        };
        let address = host.ip_address.parse().map_err(refuse)?;
        Ok((address, host.hostname.clone()))
    };
    definition.extra_hosts.iter().flatten().map(host).collect()
}

fn logging(definition: &ContainerDefinition) -> Result<Logging, EcsError> {
    let Some(configuration) = &definition.log_configuration else {
        return Ok(Logging::default());
    };
    let options = configuration.options.clone().unwrap_or_default();
    if let Some(unknown) = options.keys().find(|name| !LOG_OPTIONS.contains(&name.as_str())) {
        return Err(invalid(
            name(definition),
            &format!("the option {unknown} of awslogs is not supported by mote"),
        ));
    }
    let option = |name: &str| options.get(name).filter(|value| !value.is_empty()).cloned();
    Ok(Logging {
        group: option("awslogs-group"),
        stream_prefix: option("awslogs-stream-prefix"),
    })
}
