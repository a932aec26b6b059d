//! `mote ps` and `mote inspect`: what is told of tasks.

use anyhow::{Result, anyhow, bail};
use api::client::Client;
use api::error::ErrorCode;
use api::image::Image;
use api::task::{Health, Origin, Status, Task};

use super::task_name::short_id;
use crate::args::{Inspect, InspectKind, Ps};
use crate::value::{Filter, Format, Moment, VcpuMilli, matches, port_text};
use crate::{host, output};

const HEADER: [&str; 10] = [
    "ID", "NAME", "IMAGE", "CPU", "MEMORY", "STATUS", "AGE", "PORTS", "ORIGIN", "EXIT",
];

/// `mote ps`.
pub async fn list(host: Option<String>, arguments: Ps) -> Result<u8> {
    let tasks = host::connect(host).await?.tasks().await?;
    let tasks = chosen(tasks, arguments.all, &arguments.filter)?;
    if arguments.listing.quiet {
        for task in &tasks {
            output::line(&task.id)?;
        }
        return Ok(0);
    }
    let now = Moment::now();
    let format = &arguments.listing.listing.format;
    output::list(format, &tasks, &HEADER, |task| row(task, now, arguments.no_trunc))?;
    Ok(0)
}

/// The tasks that are asked for. A filter by status or exit code asks for stopped ones too.
fn chosen(tasks: Vec<Task>, all: bool, filters: &[Filter]) -> Result<Vec<Task>> {
    let all = all
        || filters
            .iter()
            .any(|filter| matches!(filter.key.as_str(), "status" | "exited"));
    let mut chosen = Vec::new();
    for task in tasks {
        let fits = matches(filters, |key, value| has(&task, key, value)).map_err(|sentence| anyhow!(sentence))?;
        if fits && (all || task.status != Status::Stopped) {
            chosen.push(task);
        }
    }
    Ok(chosen)
}

/// Whether a task has `value` as its `key`; `None` where there is no such key.
fn has(task: &Task, key: &str, value: &str) -> Option<bool> {
    let labelled = |labels: &std::collections::BTreeMap<String, String>| match value.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
        None => labels.contains_key(value),
    };
    let family = |definition: &String| definition.split(':').next() == Some(value);
    Some(match key {
        "id" => task.id.starts_with(value),
        "name" => task.name.contains(value),
        "image" | "ancestor" => task.image == value || short_image(&task.image) == value,
        "status" => status(task.status).eq_ignore_ascii_case(value),
        "label" => labelled(&task.labels),
        "tag" => labelled(&task.tags),
        "cluster" => task.cluster.as_deref() == Some(value),
        "service" => task.service.as_ref().is_some_and(|service| service.name == value),
        "family" => task.definition.as_ref().is_some_and(family),
        "health" => health(task.health).eq_ignore_ascii_case(value),
        "exited" => task.exit.is_some_and(|exit| exit.shell_code().to_string() == value),
        _ => return None,
    })
}

/// An image's name as people write it where it is from Docker Hub.
fn short_image(image: &str) -> &str {
    let name = image.strip_prefix("docker.io/").unwrap_or(image);
    let name = name.strip_prefix("library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name)
}

fn status(status: Status) -> String {
    format!("{status:?}").to_uppercase()
}

fn health(health: Health) -> String {
    format!("{health:?}").to_uppercase()
}

fn row(task: &Task, now: Moment, is_whole: bool) -> Vec<String> {
    let exit = task.exit.map(|exit| exit.shell_code().to_string()).unwrap_or_default();
    let id = if is_whole { task.id.clone() } else { short_id(&task.id) };
    let status = match task.health {
        Health::Unknown => status(task.status),
        known => format!("{} ({})", status(task.status), health(known).to_lowercase()),
    };
    let ports = task
        .network
        .as_ref()
        .map(|network| network.ports.iter().map(port_text).collect::<Vec<_>>());
    vec![
        id,
        task.name.clone(),
        task.image.clone(),
        VcpuMilli(task.vcpu_milli).to_string(),
        format!("{} MiB", task.memory_mib),
        status,
        output::age(now.unix_ms.saturating_sub(task.created_unix_ms) / 1000),
        ports.unwrap_or_default().join(", "),
        task.origin.map(Origin::name).unwrap_or_default().to_owned(),
        exit,
    ]
}

/// `mote inspect`.
pub async fn inspect(host: Option<String>, arguments: Inspect) -> Result<u8> {
    if arguments.format == Format::Table {
        bail!("what is inspected makes no table: choose json or a template");
    }
    let client = host::connect(host).await?;
    let mut found = Vec::new();
    for name in &arguments.names {
        found.push(inspected(&client, name, arguments.kind).await?);
    }
    output::list(&arguments.format, &found, &[], |_| Vec::new())?;
    Ok(0)
}

async fn inspected(client: &Client, name: &str, kind: Option<InspectKind>) -> Result<serde_json::Value> {
    let refused = match kind {
        Some(InspectKind::Image) => None,
        _ => match client.task(name).await {
            Ok(task) => return Ok(serde_json::to_value(task)?),
            Err(error) if error.code() == Some(ErrorCode::TaskNotFound) => Some(error),
            Err(error) => return Err(error.into()),
        },
    };
    if let (Some(InspectKind::Task), Some(error)) = (kind, refused) {
        return Err(error.into());
    }
    let images = client.images().await?;
    match images.iter().find(|image| is_image(image, name)) {
        Some(image) => Ok(serde_json::to_value(image)?),
        None if kind.is_some() => bail!("there is no image {name} in the store"),
        None => bail!("there is no task and no image {name}"),
    }
}

fn is_image(image: &Image, name: &str) -> bool {
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    let by_digest = digits.len() >= 6
        && image
            .digest
            .strip_prefix("sha256:")
            .is_some_and(|digest| digest.starts_with(digits));
    by_digest
        || image
            .names
            .iter()
            .any(|known| known == name || short_image(known) == short_image(name))
}

#[cfg(test)]
mod tests {
    use api::task::{Exit, PublishedPort, TaskNetwork, TransportProtocol};

    use super::*;

    fn task() -> Task {
        Task {
            id: "3f2a".repeat(8),
            name: "web".into(),
            image: "docker.io/library/nginx:latest".into(),
            vcpu_milli: 250,
            memory_mib: 64,
            status: Status::Running,
            origin: Some(Origin::Pool),
            created_unix_ms: 1000,
            definition: Some("front:3".into()),
            labels: [("team".to_owned(), "blue".to_owned())].into(),
            network: Some(TaskNetwork {
                name: "default".into(),
                address: [10, 0, 0, 7].into(),
                address_ipv6: None,
                mac: String::new(),
                ports: vec![PublishedPort {
                    container: "main".into(),
                    host_address: None,
                    host_port: 8080,
                    port: 80,
                    protocol: TransportProtocol::Tcp,
                }],
            }),
            ..Task::default()
        }
    }

    #[test]
    fn a_running_task_has_ports_and_an_age() {
        let expected = [
            "3f2a3f2a3f2a",
            "web",
            "docker.io/library/nginx:latest",
            "0.25",
            "64 MiB",
            "RUNNING",
            "2 minutes",
            "0.0.0.0:8080->80/tcp",
            "pool",
            "",
        ];
        let now = Moment { unix_ms: 121_000 };
        assert_eq!(row(&task(), now, false), expected);
        assert_eq!(row(&task(), now, true)[0].len(), 32);
    }

    #[test]
    fn health_is_told_beside_the_status_and_an_exit_as_in_a_shell() {
        let task = Task {
            health: Health::Unhealthy,
            status: Status::Stopped,
            exit: Some(Exit::Signal(9)),
            ..task()
        };
        let row = row(&task, Moment { unix_ms: 1000 }, false);
        assert_eq!((row[5].as_str(), row[9].as_str()), ("STOPPED (unhealthy)", "137"));
    }

    fn check(filters: &[&str], expected: bool) {
        let filters: Vec<Filter> = filters.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(
            chosen(vec![task()], false, &filters).unwrap().len() == 1,
            expected,
            "{filters:?}"
        );
    }

    #[test]
    fn filters_choose_by_what_people_know() {
        check(&["name=we", "status=running"], true);
        check(&["image=nginx", "family=front", "label=team", "label=team=red"], true);
        check(&["label=colour"], false);
        check(&["id=3f2", "exited=0"], false);
        assert!(chosen(vec![task()], true, &["colour=red".parse().unwrap()]).is_err());
    }

    #[test]
    fn stopped_tasks_are_listed_where_they_are_asked_for() {
        let stopped = Task {
            status: Status::Stopped,
            ..task()
        };
        let count = |all, filters: &[Filter]| chosen(vec![stopped.clone()], all, filters).unwrap().len();
        assert_eq!(count(false, &[]), 0);
        assert_eq!(count(true, &[]), 1);
        assert_eq!(count(false, &["status=stopped".parse().unwrap()]), 1);
    }

    #[test]
    fn an_image_is_found_by_name_or_digest() {
        let image = Image {
            names: vec!["docker.io/library/nginx:latest".into()],
            digest: format!("sha256:{}", "ab12".repeat(16)),
            platform: String::new(),
            created: None,
            size_bytes: 0,
            layers: 1,
            stored_unix_ms: 0,
            layer_list: vec![],
        };
        for name in [
            "nginx",
            "nginx:latest",
            "docker.io/library/nginx:latest",
            "ab12ab12",
            "sha256:ab12ab",
        ] {
            assert!(is_image(&image, name), "{name}");
        }
        for name in ["nginx:2", "ab", "sha256:", "gin"] {
            assert!(!is_image(&image, name), "{name}");
        }
    }
}
