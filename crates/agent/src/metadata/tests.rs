//! What a container hears when it asks about itself.

use std::net::Ipv4Addr;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use hyper::StatusCode;
use protocol::guest::Usage;
use serde_json::{Value, json};

use super::document::Surroundings;
use super::server::answer;
use super::{Tasks, variables};
use crate::ports::Failure;
use crate::record::{Membership, TaskRecord};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(172, 30, 224, 2);
const RUNTIME_ID: &str = "0123456789abcdef0123456789abcdef-0000000001";

/// One task, `web`, which runs.
struct One(Arc<TaskRecord>);

impl Tasks for One {
    fn at(&self, address: Ipv4Addr) -> Option<Arc<TaskRecord>> {
        (address == ADDRESS).then(|| Arc::clone(&self.0))
    }

    fn measure<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<Usage>, Failure>> {
        let usage = Usage {
            container: "web".to_owned(),
            cpu_user_us: 5000,
            cpu_system_us: 2000,
            memory_bytes: 1 << 20,
            network_received_bytes: 77,
            ..Usage::default()
        };
        async { Ok(vec![usage]) }.boxed()
    }
}

const RECORD: &str = r#"{
    "id": "0123456789abcdef0123456789abcdef", "cluster": "default", "name": "n", "definition": "site:7", "group": "family:site",
    "started_by": null, "service": null, "tags": [], "echoed": {}, "is_removed_when_stopped": false,
    "is_wanted": true, "status": "RUNNING", "version": 1,
    "plan": {
        "vcpu_milli": 250, "memory_mib": 512, "scratch_mib": 20480, "hostname": null, "waits_for_vcpus": true,
        "time_limit_seconds": null, "can_execute": false,
        "network": {"ports": [], "name_servers": []}, "sysctls": [], "volumes": [],
        "containers": [{
            "name": "web", "image": "docker.io/library/nginx:latest", "pull": "Missing", "is_essential": true,
            "entrypoint": null, "command": null, "env": [], "secrets": [], "working_directory": null, "user": null,
            "terminal": null, "stdin": false, "cpu_units": 0, "memory_mib": null, "memory_reservation_mib": null,
            "depends_on": [], "start_timeout_seconds": null, "stop_timeout_seconds": 30, "health_check": null,
            "restart": null, "ulimits": [], "capabilities_added": [], "capabilities_dropped": [],
            "no_new_privileges": false, "is_read_only": false, "has_init_process": false, "shared_memory_mib": null,
            "mounts": [], "hosts": [], "labels": [["color", "blue"]], "logging": {"group": "/g", "stream_prefix": "p"}
        }]
    },
    "times": {"created_ms": 1795000000000, "pull_started_ms": 1795000000100, "pull_stopped_ms": null,
              "connected_ms": null, "started_ms": null, "stopping_ms": null, "execution_stopped_ms": null, "stopped_ms": null},
    "stop": null, "clock": {}, "origin": null,
    "network": {"attachment": "a", "tap": "mote-ac1ee002", "mac": [2, 109, 172, 30, 224, 2], "address": "172.30.224.2", "address_ipv6": null,
                "ports": [{"container": "web", "host_address": null, "host_port": 8080, "port": 80, "is_udp": false}]},
    "containers": [{
        "id": "05966557-f16c-49cb-9352-24b3a0dcd0e1", "runtime_id": "0123456789abcdef0123456789abcdef-0000000001",
        "image_digest": "sha256:aa", "command": ["run"], "status": "RUNNING", "health": "UNKNOWN", "exit": null, "reason": null,
        "restarts": 0, "started_ms": 1795000001000, "finished_ms": null
    }],
    "core": null
}"#;

fn record() -> TaskRecord {
    serde_json::from_str(RECORD).unwrap()
}

async fn ask_from(address: Ipv4Addr, path: &str) -> (StatusCode, Value) {
    answer(true, path, address, &One(Arc::new(record())), &place()).await
}

fn place() -> Surroundings {
    Surroundings {
        region: "us-east-1".to_owned(),
        subnet: "172.30.224.0/20".to_owned(),
        gateway: "172.30.224.1".to_owned(),
        name_servers: vec!["172.30.224.1".to_owned()],
    }
}

async fn ask(question: &str) -> Value {
    let (status, document) = ask_from(ADDRESS, &format!("/v4/{RUNTIME_ID}{question}")).await;
    assert_eq!(status, StatusCode::OK, "{document}");
    document
}

#[tokio::test]
async fn a_container_is_told_of_itself() {
    let document = ask("").await;
    for (member, expected) in [
        ("DockerId", json!(RUNTIME_ID)),
        ("Name", json!("web")),
        ("Image", json!("docker.io/library/nginx:latest")),
        ("ImageID", json!("sha256:aa")),
        ("DesiredStatus", json!("RUNNING")),
        ("KnownStatus", json!("RUNNING")),
        ("Limits", json!({"CPU": 256.0, "Memory": 512})),
        ("Type", json!("NORMAL")),
        ("LogDriver", json!("awslogs")),
        (
            "ContainerARN",
            json!(
                "arn:aws:ecs:us-east-1:000000000000:container/default/0123456789abcdef0123456789abcdef/05966557-f16c-49cb-9352-24b3a0dcd0e1"
            ),
        ),
        (
            "Ports",
            json!([{"ContainerPort": 80, "HostPort": 8080, "Protocol": "tcp"}]),
        ),
    ] {
        assert_eq!(document[member], expected, "{member}");
    }
    assert_eq!(document["Networks"][0]["IPv4Addresses"], json!(["172.30.224.2"]));
    assert_eq!(document["Networks"][0]["MACAddress"], "02:6d:ac:1e:e0:02");
    assert_eq!(document["Labels"]["color"], "blue");
    assert_eq!(document["Labels"]["com.amazonaws.ecs.task-definition-family"], "site");
    assert_eq!(
        document["LogOptions"]["awslogs-stream"],
        "p/web/0123456789abcdef0123456789abcdef"
    );
    assert!(document["StartedAt"].as_str().unwrap().ends_with('Z'));
    assert!(document.get("ExitCode").is_none());
}

#[tokio::test]
async fn a_container_is_told_of_its_task() {
    let document = ask("/task").await;
    assert_eq!(
        document["Cluster"],
        "arn:aws:ecs:us-east-1:000000000000:cluster/default"
    );
    assert_eq!(
        (&document["Family"], &document["Revision"]),
        (&json!("site"), &json!("7"))
    );
    assert_eq!(document["Limits"], json!({"CPU": 0.25, "Memory": 512}));
    assert_eq!(document["Containers"][0], ask("").await);
    assert!(document.get("PullStartedAt").is_some() && document.get("PullStoppedAt").is_none());
}

#[tokio::test]
async fn what_is_used_is_told_in_dockers_form() {
    let document = ask("/stats").await;
    assert_eq!(document["cpu_stats"]["cpu_usage"]["total_usage"], 5_000_000);
    assert_eq!(document["cpu_stats"]["cpu_usage"]["usage_in_usermode"], 3_000_000);
    assert_eq!(document["memory_stats"]["limit"], 512 << 20);
    assert_eq!(document["networks"]["eth0"]["rx_bytes"], 77);
    let all = ask("/task/stats").await;
    assert_eq!(all[RUNTIME_ID]["memory_stats"]["usage"], 1 << 20);
}

#[tokio::test]
async fn nobody_is_told_of_others() {
    let own = format!("/v4/{RUNTIME_ID}");
    for (address, path) in [
        (Ipv4Addr::new(172, 30, 224, 3), own.as_str()),
        (ADDRESS, "/v4/other"),
        (ADDRESS, "/v4/"),
        (ADDRESS, "/v3/x"),
        (ADDRESS, "/"),
        (ADDRESS, &format!("{own}/secrets")),
    ] {
        let (status, document) = ask_from(address, path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(document["message"].is_string());
    }
}

#[test]
fn a_container_finds_the_endpoint_by_its_environment() {
    assert_eq!(
        variables("t-1")[0],
        "ECS_CONTAINER_METADATA_URI_V4=http://169.254.170.2/v4/t-1"
    );
}

#[tokio::test]
async fn a_container_is_told_of_its_ipv6_address() {
    let mut record = record();
    let network = record.network.as_mut().unwrap();
    network.address_ipv6 = Some("fd00::2".parse().unwrap());
    network.member = Some(Membership {
        network: "front".to_owned(),
        name: "web".to_owned(),
        subnet: "172.30.224.0/24".to_owned(),
        gateway: [172, 30, 224, 1].into(),
        subnet_ipv6: Some("fd00::/64".to_owned()),
        gateway_ipv6: Some("fd00::1".parse().unwrap()),
    });
    let [places, found] = [network.places().count(), network.ports.len()];
    assert_eq!((places, found), (2, 1));
    let (_, document) = answer(
        true,
        &format!("/v4/{RUNTIME_ID}"),
        ADDRESS,
        &One(Arc::new(record)),
        &place(),
    )
    .await;
    let network = &document["Networks"][0];
    assert_eq!(network["IPv6Addresses"], json!(["fd00::2"]));
    assert_eq!(network["IPv6SubnetCIDRBlock"], "fd00::/64");
    assert_eq!(network["SubnetGatewayIpv6Address"], "fd00::1");
    let without = ask("").await;
    assert_eq!(without["Networks"][0].get("IPv6Addresses"), None);
}
