//! Image configurations: hostile JSON in, what a container's process needs out (OCI image spec, image configuration).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, DigestError};
use crate::platform::Platform;

/// The largest configuration that is read.
pub const CONFIG_LEN_MAX: u64 = 4 << 20;

/// Why bytes are no image configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Larger than [`CONFIG_LEN_MAX`].
    #[error("the image configuration is larger than {CONFIG_LEN_MAX} bytes")]
    TooLarge,
    /// Not the JSON that a configuration is.
    #[error("the image configuration is malformed")]
    Json(#[source] serde_json::Error),
    /// A diff ID is malformed.
    #[error("the image configuration names a layer by a malformed digest")]
    Digest(#[source] DigestError),
    /// A root file system that is not made of layers.
    #[error("the image's root file system is of the unknown type {0:?}")]
    RootfsType(String),
    /// A text that a process could not be given.
    #[error("the image configuration's {0} holds a NUL character")]
    Nul(&'static str),
}

/// What an image says of the process to run in it. Absent lists and texts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessConfig {
    /// The words in front of the command.
    pub entrypoint: Vec<String>,
    /// The default command, or the entrypoint's default arguments.
    pub cmd: Vec<String>,
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// Where the process starts; empty is `/`.
    pub working_dir: String,
    /// `user[:group]`, by name or number; empty is root.
    pub user: String,
    /// The signal that asks the process to end, as the image writes it; empty is SIGTERM.
    pub stop_signal: String,
    /// `port/protocol` each.
    pub exposed_ports: Vec<String>,
    /// Paths that the image wants as volumes.
    pub volumes: Vec<String>,
    /// How the image wants to be asked whether it is well.
    pub healthcheck: Option<Healthcheck>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// An image's health check (Docker image spec v1.2, `Healthcheck`). Zero means the runtime's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`.
    pub test: Vec<String>,
    /// Time between two checks.
    pub interval_nanoseconds: u64,
    /// Time after which a check counts as failed.
    pub timeout_nanoseconds: u64,
    /// Time during which failures do not count.
    pub start_period_nanoseconds: u64,
    /// Failures in a row that make a container unhealthy.
    pub retries: u32,
}

/// An image configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageConfig {
    /// Whom the image is for.
    pub platform: Platform,
    /// When it was made, as it says (RFC 3339); empty where it does not.
    pub created: String,
    /// The digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
    /// What to run.
    pub process: ProcessConfig,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
    created: Option<String>,
    config: Option<WireProcess>,
    rootfs: WireRootfs,
}

#[derive(Deserialize)]
struct WireRootfs {
    r#type: String,
    diff_ids: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireProcess {
    entrypoint: Option<Words>,
    cmd: Option<Words>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    stop_signal: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    volumes: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    healthcheck: Option<WireHealthcheck>,
    labels: Option<BTreeMap<String, Option<String>>>,
}

/// Docker takes a lone string for a list of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct WireHealthcheck {
    test: Option<Vec<String>>,
    interval: Option<u64>,
    timeout: Option<u64>,
    start_period: Option<u64>,
    retries: Option<u32>,
}

/// Reads an image configuration.
pub fn parse(bytes: &[u8]) -> Result<ImageConfig, ConfigError> {
    if bytes.len() as u64 > CONFIG_LEN_MAX {
        return Err(ConfigError::TooLarge);
    }
    let wire: Wire = serde_json::from_slice(bytes).map_err(ConfigError::Json)?;
    if wire.rootfs.r#type != "layers" {
        return Err(ConfigError::RootfsType(wire.rootfs.r#type));
    }
    let diff_ids = wire.rootfs.diff_ids.unwrap_or_default();
    let diff_ids = diff_ids
        .iter()
        .map(|text| Digest::parse(text))
        .collect::<Result<_, _>>()
        .map_err(ConfigError::Digest)?;
    let process = process(wire.config.unwrap_or_default());
    refuse_nul(&process)?;
    Ok(ImageConfig {
        platform: platform(&wire.os, &wire.architecture, wire.variant.as_deref()),
        created: wire.created.filter(|text| is_time(text)).unwrap_or_default(),
        diff_ids,
        process,
    })
}

/// Whether a text can be a time of RFC 3339: lists show it, so nothing else may pass.
fn is_time(text: &str) -> bool {
    text.len() <= 40
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'T' | b'Z' | b':' | b'.' | b'+' | b'-'))
}

/// Images from before the fields existed are taken for the host's.
fn platform(os: &str, architecture: &str, variant: Option<&str>) -> Platform {
    let host = Platform::host();
    let or = |word: &str, default: &str| {
        if word.is_empty() {
            default.to_owned()
        } else {
            word.to_owned()
        }
    };
    Platform::from_words(&or(os, &host.os), &or(architecture, &host.architecture), variant)
        .unwrap_or_else(Platform::unknown)
}

fn process(wire: WireProcess) -> ProcessConfig {
    ProcessConfig {
        entrypoint: words(wire.entrypoint),
        cmd: words(wire.cmd),
        env: wire.env.unwrap_or_default(),
        working_dir: wire.working_dir.unwrap_or_default(),
        user: wire.user.unwrap_or_default(),
        stop_signal: wire.stop_signal.unwrap_or_default(),
        exposed_ports: wire.exposed_ports.unwrap_or_default().into_keys().collect(),
        volumes: wire.volumes.unwrap_or_default().into_keys().collect(),
        healthcheck: wire.healthcheck.map(healthcheck),
        labels: wire
            .labels
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.unwrap_or_default()))
            .collect(),
    }
}

fn words(words: Option<Words>) -> Vec<String> {
    match words {
        None => Vec::new(),
        Some(Words::One(word)) => vec![word],
        Some(Words::Many(words)) => words,
    }
}

fn healthcheck(wire: WireHealthcheck) -> Healthcheck {
    Healthcheck {
        test: wire.test.unwrap_or_default(),
        interval_nanoseconds: wire.interval.unwrap_or_default(),
        timeout_nanoseconds: wire.timeout.unwrap_or_default(),
        start_period_nanoseconds: wire.start_period.unwrap_or_default(),
        retries: wire.retries.unwrap_or_default(),
    }
}

/// No argument, variable or path of Linux can hold a NUL: refused here, it cannot cut a text short later.
fn refuse_nul(process: &ProcessConfig) -> Result<(), ConfigError> {
    let texts = [
        ("Entrypoint", process.entrypoint.as_slice()),
        ("Cmd", &process.cmd),
        ("Env", &process.env),
        ("WorkingDir", std::slice::from_ref(&process.working_dir)),
        ("User", std::slice::from_ref(&process.user)),
        ("Volumes", &process.volumes),
    ];
    match texts
        .iter()
        .find(|(_, texts)| texts.iter().any(|text| text.contains('\0')))
    {
        Some((field, _)) => Err(ConfigError::Nul(field)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn with_process(process: &Value) -> Result<ImageConfig, ConfigError> {
        let rootfs = json!({"type": "layers", "diff_ids": [Digest::of(b"layer").to_string()]});
        let value = json!({"os": "linux", "architecture": "amd64", "config": process, "rootfs": rootfs});
        parse(value.to_string().as_bytes())
    }

    #[test]
    fn what_a_process_needs_is_read() {
        let config = with_process(&json!({
            "Entrypoint": ["/entry"], "Cmd": ["a", "b"], "Env": ["A=b"], "WorkingDir": "/w", "User": "1000:users",
            "StopSignal": "SIGQUIT", "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "Labels": {"k": "v"},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30_000_000_000_u64, "Retries": 3}
        }))
        .unwrap();
        assert_eq!(config.platform.to_string(), "linux/amd64");
        assert_eq!(config.diff_ids, [Digest::of(b"layer")]);
        let process = config.process;
        assert_eq!(
            (process.entrypoint, process.cmd),
            (vec!["/entry".into()], vec!["a".into(), "b".into()])
        );
        assert_eq!(
            (process.working_dir.as_str(), process.user.as_str()),
            ("/w", "1000:users")
        );
        assert_eq!(
            (process.exposed_ports, process.volumes),
            (vec!["80/tcp".into()], vec!["/data".into()])
        );
        assert_eq!(process.healthcheck.unwrap().interval_nanoseconds, 30_000_000_000);
        assert_eq!(process.labels["k"], "v");
    }

    #[test]
    fn nulls_are_nothing_as_docker_writes_them() {
        let nothing =
            json!({"Entrypoint": null, "Cmd": null, "Env": null, "Volumes": null, "Labels": null, "Healthcheck": null});
        assert_eq!(with_process(&nothing).unwrap().process, ProcessConfig::default());
        assert_eq!(with_process(&Value::Null).unwrap().process, ProcessConfig::default());
    }

    #[test]
    fn a_lone_word_is_a_list_of_one() {
        assert_eq!(with_process(&json!({"Cmd": "sh"})).unwrap().process.cmd, ["sh"]);
    }

    #[test]
    fn a_nul_is_refused() {
        assert!(matches!(
            with_process(&json!({"Env": ["A=\0"]})),
            Err(ConfigError::Nul("Env"))
        ));
        assert!(matches!(
            with_process(&json!({"User": "a\0"})),
            Err(ConfigError::Nul("User"))
        ));
    }

    #[test]
    fn a_configuration_without_layers_is_refused() {
        assert!(matches!(parse(b"{}"), Err(ConfigError::Json(_))));
        let value = json!({"rootfs": {"type": "squash"}});
        assert!(matches!(
            parse(value.to_string().as_bytes()),
            Err(ConfigError::RootfsType(_))
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
