//! What `mote run` asks for.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use api::task::{HealthCheck, Rates, RestartPolicy, RunRequest, SecretVariable, TerminalSize};

use crate::args::{HealthOptions, Restart, Run, SecurityOption};
use crate::value::Volume;
use crate::{terminal, value};

/// The size of a terminal that nobody looks at.
pub const TERMINAL_SIZE: TerminalSize = TerminalSize { columns: 80, rows: 24 };

/// The request that the options ask for.
pub fn request(arguments: &Run) -> Result<RunRequest> {
    let (process, network, resources, life) = (
        &arguments.process,
        &arguments.network,
        &arguments.resources,
        &arguments.life,
    );
    let restart = life.restart.and_then(restart);
    if restart.is_some() && arguments.rm {
        bail!("--rm forgets a task that --restart starts again: leave out one of them");
    }
    let entrypoint = process.entrypoint.clone();
    let secrets = process.secret.iter().map(|text| secret(text));
    Ok(RunRequest {
        image: arguments.image.clone(),
        name: arguments.name.clone(),
        vcpu_milli: arguments.cpu.0,
        memory_mib: arguments.memory.0,
        env: value::environment(&process.env_file, &process.env, |name| std::env::var(name).ok())?,
        working_directory: process.workdir.clone(),
        user: process.user.clone(),
        entrypoint: entrypoint.map(|program| if program.is_empty() { Vec::new() } else { vec![program] }),
        command: arguments.command.clone(),
        hostname: network.hostname.clone(),
        terminal: arguments.tty.then(|| terminal::size().unwrap_or(TERMINAL_SIZE)),
        stdin: arguments.interactive,
        remove: arguments.rm,
        no_new_privileges: process.security_opt.contains(&SecurityOption::NoNewPrivileges),
        waits_for_vcpus: !life.no_cpu_wait,
        timeout_seconds: life.timeout,
        stop_timeout_seconds: life.stop_timeout,
        network: network.network.clone(),
        ports: network.publish.clone(),
        name_servers: network.dns.clone(),
        hosts: network.add_host.clone(),
        tmpfs: resources.tmpfs.clone(),
        volumes: volumes(&resources.volume, |volume| match volume {
            Volume::Empty(path) => Some(path.clone()),
            Volume::Host(_) => None,
        }),
        host_volumes: volumes(&resources.volume, |volume| match volume {
            Volume::Empty(_) => None,
            Volume::Host(volume) => Some(volume.clone()),
        }),
        read_only: resources.read_only,
        shared_memory_mib: resources.shm_size.map(|size| size.0),
        ephemeral_storage_mib: resources.storage.map(|size| size.0),
        ephemeral_storage_inodes: resources.storage_inodes,
        rates: Rates {
            disk_bytes_per_second: resources.io_max_bandwidth.map(|rate| rate.0),
            disk_operations_per_second: resources.io_max_iops,
            network_bytes_per_second: network.network_max_bandwidth.map(|rate| rate.0),
        },
        ulimits: process.ulimit.clone(),
        pids_max: process.pids_limit.and_then(|limit| limit.0),
        capabilities_added: process.cap_add.clone(),
        capabilities_dropped: process.cap_drop.clone(),
        sysctls: pairs(&resources.sysctl)?,
        init: process.init,
        labels: value::labels(&process.label_file, &process.label)?,
        secrets: secrets.collect::<Result<_>>()?,
        health_check: health_check(&arguments.health),
        restart,
        log_group: life.log_group.clone(),
        log_stream_prefix: life.log_stream_prefix.clone(),
        ..RunRequest::default()
    })
}

/// The volumes of one kind.
fn volumes<T>(all: &[Volume], kind: impl Fn(&Volume) -> Option<T>) -> Vec<T> {
    all.iter().filter_map(kind).collect()
}

fn pairs(texts: &[String]) -> Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let pair = text.split_once('=');
        let (name, value) = pair.with_context(|| format!("'{text}' is not NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    texts.iter().map(pair).collect()
}

/// `NAME=SECRET[:MEMBER]`.
fn secret(text: &str) -> Result<SecretVariable> {
    let parts = text.split_once('=');
    let (variable, secret) =
        parts.with_context(|| format!("'{text}' is no variable with its secret: write NAME=SECRET"))?;
    let (secret, key) = match secret.split_once(':') {
        Some((secret, key)) => (secret, Some(key.to_owned())),
        None => (secret, None),
    };
    Ok(SecretVariable {
        variable: variable.to_owned(),
        secret: secret.to_owned(),
        key,
    })
}

fn restart(policy: Restart) -> Option<RestartPolicy> {
    match policy {
        Restart::No => None,
        Restart::Always | Restart::UnlessStopped => Some(RestartPolicy::default()),
        Restart::OnFailure => Some(RestartPolicy {
            ignored_exit_codes: vec![0],
            ..RestartPolicy::default()
        }),
    }
}

fn health_check(options: &HealthOptions) -> Option<HealthCheck> {
    let command = if options.no_healthcheck {
        Some(vec!["NONE".to_owned()])
    } else {
        let line = options.health_cmd.clone();
        line.map(|line| vec!["CMD-SHELL".to_owned(), line])
    };
    let check = HealthCheck {
        command,
        interval_seconds: options.health_interval.map(|time| time.0),
        timeout_seconds: options.health_timeout.map(|time| time.0),
        retries: options.health_retries,
        start_period_seconds: options.health_start_period.map(|time| time.0),
    };
    (check != HealthCheck::default()).then_some(check)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    fn asked(line: &str) -> Result<RunRequest> {
        let words = format!("mote run {line}");
        let arguments = Arguments::try_parse_from(words.split(' ')).unwrap();
        let Command::Run(run) = arguments.command else {
            panic!("not run")
        };
        request(&run)
    }

    #[test]
    fn a_request_without_options_says_what_it_must() {
        let expected = RunRequest {
            command: vec!["ls".into(), "-l".into()],
            ..RunRequest::new("app".into(), 1000, 128)
        };
        assert_eq!(asked("app ls -l").unwrap(), expected);
    }

    #[test]
    fn options_of_dockers_say_the_same() {
        let request = asked(
            "--cpus .5 -m 1g -p 8080:80 --add-host db:10.0.0.7 --dns 1.1.1.1 --network none --tmpfs /run:size=1m -v /data \
             --ulimit nofile=10 --pids-limit 50 --cap-drop ALL --cap-add CHOWN --sysctl net.ipv4.ip_forward=1 -l team=blue --init --read-only \
             --shm-size 64m --storage 2g --storage-inodes 1000 --io-maxbandwidth 10mb --io-maxiops 500 --network-maxbandwidth 1g app",
        )
        .unwrap();
        assert_eq!((request.vcpu_milli, request.memory_mib), (500, 1024));
        assert_eq!((request.ports[0].host_port, request.ports[0].port), (Some(8080), 80));
        assert_eq!(request.hosts[0].name, "db");
        assert_eq!(request.network, api::task::NetworkMode::None);
        assert_eq!(request.tmpfs[0].size_mib, Some(1));
        assert_eq!(request.volumes, ["/data"]);
        assert_eq!((request.ulimits[0].hard, request.pids_max), (Some(10), Some(50)));
        assert_eq!(
            (request.capabilities_added, request.capabilities_dropped),
            (vec!["CHOWN".into()], vec!["ALL".into()])
        );
        assert_eq!(request.sysctls["net.ipv4.ip_forward"], "1");
        assert_eq!(request.labels["team"], "blue");
        assert!(request.init && request.read_only);
        assert_eq!(
            (request.shared_memory_mib, request.ephemeral_storage_mib),
            (Some(64), Some(2048))
        );
        assert_eq!(request.ephemeral_storage_inodes, Some(1000));
        let expected = Rates {
            disk_bytes_per_second: Some(10 << 20),
            disk_operations_per_second: Some(500),
            network_bytes_per_second: Some(1 << 30),
        };
        assert_eq!(request.rates, expected);
    }

    #[test]
    fn health_is_asked_for_only_where_something_is_said_of_it() {
        assert_eq!(asked("app").unwrap().health_check, None);
        let check = asked("--health-interval 1m app").unwrap().health_check.unwrap();
        assert_eq!((check.command, check.interval_seconds), (None, Some(60)));
        let check = asked("--no-healthcheck app").unwrap().health_check.unwrap();
        assert_eq!(check.command, Some(vec!["NONE".to_owned()]));
    }

    #[test]
    fn a_restart_policy_has_ecss_form() {
        assert_eq!(asked("--restart no --rm app").unwrap().restart, None);
        assert_eq!(
            asked("--restart always app").unwrap().restart,
            Some(RestartPolicy::default())
        );
        assert_eq!(
            asked("--restart on-failure app")
                .unwrap()
                .restart
                .unwrap()
                .ignored_exit_codes,
            [0]
        );
        assert!(asked("--restart always --rm app").is_err());
    }

    #[test]
    fn a_secret_may_have_a_member() {
        let secrets = asked("--secret A=db --secret B=db:password app").unwrap().secrets;
        assert_eq!((secrets[0].variable.as_str(), secrets[0].secret.as_str()), ("A", "db"));
        assert_eq!(secrets[1].key.as_deref(), Some("password"));
        assert!(asked("--secret A app").is_err());
    }
}
