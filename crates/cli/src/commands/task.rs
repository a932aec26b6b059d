//! `mote ps`, `mote inspect`, `mote stop`, `mote rm`.

use anyhow::Result;
use api::task::{Origin, Status, StopRequest, Task};

use crate::args::{Format, Ps, Rm, Stop, TaskNames};
use crate::value::VcpuMilli;
use crate::{host, output};

/// Characters of an id that a table shows.
const SHORT_ID_LEN: usize = 12;

/// The beginning of an id that tables show.
pub fn short_id(id: &str) -> String {
    id.get(..SHORT_ID_LEN).unwrap_or(id).to_owned()
}

/// `mote ps`.
pub async fn list(host: Option<String>, arguments: Ps) -> Result<u8> {
    let mut tasks = host::connect(host).await?.tasks().await?;
    tasks.retain(|task| arguments.all || task.status != Status::Stopped);
    match arguments.listing.format {
        _ if arguments.quiet => {
            for task in &tasks {
                output::line(&task.id)?;
            }
        }
        Format::Json => output::json(&tasks)?,
        Format::Table => {
            let header = ["ID", "NAME", "IMAGE", "CPU", "MEMORY", "STATUS", "ORIGIN", "EXIT"];
            output::table(&header, tasks.iter().map(row))?;
        }
    }
    Ok(0)
}

fn row(task: &Task) -> Vec<String> {
    let exit = task.exit.map(|exit| exit.shell_code().to_string()).unwrap_or_default();
    let cpu = VcpuMilli(task.vcpu_milli).to_string();
    let status = format!("{:?}", task.status).to_uppercase();
    let origin = task.origin.map(Origin::name).unwrap_or_default();
    vec![
        short_id(&task.id),
        task.name.clone(),
        task.image.clone(),
        cpu,
        format!("{} MiB", task.memory_mib),
        status,
        origin.to_owned(),
        exit,
    ]
}

/// `mote inspect`.
pub async fn inspect(host: Option<String>, names: TaskNames) -> Result<u8> {
    let client = host::connect(host).await?;
    let mut tasks = Vec::new();
    for name in &names.tasks {
        tasks.push(client.task(name).await?);
    }
    output::json(&tasks)?;
    Ok(0)
}

/// `mote stop`.
pub async fn stop(host: Option<String>, arguments: Stop) -> Result<u8> {
    let client = host::connect(host).await?;
    for name in &arguments.tasks.tasks {
        client
            .stop_task(
                name,
                StopRequest {
                    timeout_seconds: arguments.time,
                },
            )
            .await?;
        output::line(name)?;
    }
    Ok(0)
}

/// `mote rm`.
pub async fn remove(host: Option<String>, arguments: Rm) -> Result<u8> {
    let client = host::connect(host).await?;
    for name in &arguments.tasks.tasks {
        if arguments.force {
            client
                .stop_task(
                    name,
                    StopRequest {
                        timeout_seconds: Some(0),
                    },
                )
                .await?;
        }
        client.remove_task(name).await?;
        output::line(name)?;
    }
    Ok(0)
}
