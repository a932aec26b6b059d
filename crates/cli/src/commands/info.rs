//! `mote info`: the host agent at a glance.

use anyhow::Result;
use api::task::Status;
use api::template::{Pool, Template};
use serde::Serialize;

use super::task_name::short_id;
use super::template::state;
use crate::args::Listing;
use crate::value::Format;
use crate::{host, output};

/// What is shown.
#[derive(Debug, Serialize)]
struct Info {
    version: String,
    tasks: usize,
    tasks_stopped: usize,
    images: usize,
    templates: Vec<Template>,
    pool: Pool,
}

/// `mote info`.
pub async fn info(host: Option<String>, listing: Listing) -> Result<u8> {
    let client = host::connect(host).await?;
    let version = client.version().await?.version;
    let tasks = client.tasks().await?;
    let templates = client.templates().await?;
    let tasks_stopped = tasks.iter().filter(|task| task.status == Status::Stopped).count();
    let info = Info {
        version,
        tasks: tasks.len() - tasks_stopped,
        tasks_stopped,
        images: client.images().await?.len(),
        templates: templates.templates,
        pool: templates.pool,
    };
    match &listing.format {
        Format::Table => output::pairs(&lines(&info))?,
        other => output::document(other, &info)?,
    }
    Ok(0)
}

fn lines(info: &Info) -> [(&'static str, String); 5] {
    [
        ("version", info.version.clone()),
        ("tasks", format!("{}, and {} stopped", info.tasks, info.tasks_stopped)),
        ("images", info.images.to_string()),
        ("template", template(info.templates.first())),
        ("pool", format!("{} of {} waiting", info.pool.waiting, info.pool.size)),
    ]
}

fn template(template: Option<&Template>) -> String {
    let Some(template) = template else {
        return "none yet: it is made for the first task".to_owned();
    };
    let text = format!("{} {}", short_id(&template.key), state(template.state));
    match &template.reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_template_it_is_said_when_there_will_be_one() {
        assert_eq!(template(None), "none yet: it is made for the first task");
    }
}
