//! `mote stop`, `mote kill`, `mote rm`, `mote wait`, `mote top`, `mote port`: what is done with tasks.

use anyhow::{Result, bail};
use api::exec::Process;
use api::task::{Exit, PublishedPort, SignalRequest, StopRequest};

use super::task_name::for_each;
use crate::args::{Kill, Port, Rm, Stop, Top, Wait};
use crate::{host, output, value};

/// `mote stop`.
pub async fn stop(host: Option<String>, arguments: Stop) -> Result<u8> {
    let client = host::connect(host).await?;
    let timeout_seconds = arguments.time;
    for_each(&arguments.tasks.tasks, async |name| {
        client.stop_task(&name, StopRequest { timeout_seconds }).await?;
        Ok(name)
    })
    .await
}

/// `mote kill`.
pub async fn kill(host: Option<String>, arguments: Kill) -> Result<u8> {
    let client = host::connect(host).await?;
    let request = SignalRequest {
        signal: arguments.signal.0,
        container: arguments.container,
    };
    for_each(&arguments.tasks.tasks, async |name| {
        client.signal_task(&name, &request).await?;
        Ok(name)
    })
    .await
}

/// `mote rm`.
pub async fn remove(host: Option<String>, arguments: Rm) -> Result<u8> {
    let client = host::connect(host).await?;
    for_each(&arguments.tasks.tasks, async |name| {
        if arguments.force {
            let timeout_seconds = Some(0);
            client.stop_task(&name, StopRequest { timeout_seconds }).await?;
        }
        client.remove_task(&name).await?;
        Ok(name)
    })
    .await
}

/// `mote wait`.
pub async fn wait(host: Option<String>, arguments: Wait) -> Result<u8> {
    let client = host::connect(host).await?;
    for_each(&arguments.tasks.tasks, async |name| {
        let task = client.wait_task(&name).await?;
        Ok(task.exit.unwrap_or(Exit::Failed).shell_code().to_string())
    })
    .await
}

/// `mote top`.
pub async fn top(host: Option<String>, arguments: Top) -> Result<u8> {
    let (task, container) = super::task_name::split_container(&arguments.task, arguments.container);
    let client = host::connect(host).await?;
    let processes = client.processes(&task, container.as_deref()).await?;
    let header = ["CONTAINER", "PID", "PPID", "USER", "CPU", "MEMORY", "COMMAND"];
    output::list(&arguments.listing.format, &processes, &header, process_row)?;
    Ok(0)
}

fn process_row(process: &Process) -> Vec<String> {
    let cpu_ms = process.cpu_ms;
    vec![
        process.container.clone(),
        process.pid.to_string(),
        process.parent_pid.to_string(),
        process.user.to_string(),
        format!("{}.{:03} s", cpu_ms / 1000, cpu_ms % 1000),
        output::memory(process.memory_bytes),
        process.command.join(" "),
    ]
}

/// `mote port`.
pub async fn port(host: Option<String>, arguments: Port) -> Result<u8> {
    let task = host::connect(host).await?.task(&arguments.task).await?;
    let ports = task.network.map(|network| network.ports).unwrap_or_default();
    let Some(wanted) = &arguments.port else {
        let header = ["CONTAINER", "PORT", "HOST"];
        output::list(&arguments.listing.format, &ports, &header, port_row)?;
        return Ok(0);
    };
    let found: Vec<_> = ports.iter().filter(|port| is_port(port, wanted)).collect();
    if found.is_empty() {
        bail!("task {} publishes no port {wanted}", arguments.task);
    }
    for port in found {
        output::line(&value::host_end(port))?;
    }
    Ok(0)
}

fn is_port(port: &PublishedPort, wanted: &str) -> bool {
    let (number, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    port.port.to_string() == number && port.protocol.name() == protocol
}

fn port_row(port: &PublishedPort) -> Vec<String> {
    vec![
        port.container.clone(),
        format!("{}/{}", port.port, port.protocol.name()),
        value::host_end(port),
    ]
}

#[cfg(test)]
mod tests {
    use api::task::TransportProtocol;

    use super::*;

    #[test]
    fn a_port_is_found_by_number_and_protocol() {
        let port = PublishedPort {
            container: "dns".into(),
            host_address: None,
            host_port: 5353,
            port: 53,
            protocol: TransportProtocol::Udp,
        };
        assert!(is_port(&port, "53/udp"));
        assert!(!is_port(&port, "53"));
        assert!(!is_port(&port, "5353/udp"));
        assert_eq!(port_row(&port), ["dns", "53/udp", "0.0.0.0:5353"]);
    }

    #[test]
    fn a_process_is_told_with_its_command_line() {
        let process = Process {
            container: "main".into(),
            pid: 7,
            parent_pid: 1,
            user: 0,
            cpu_ms: 1250,
            memory_bytes: 3 << 20,
            command: vec!["sleep".into(), "9".into()],
        };
        let expected = ["main", "7", "1", "0", "1.250 s", "3.0 MiB", "sleep 9"];
        assert_eq!(process_row(&process), expected);
    }
}
