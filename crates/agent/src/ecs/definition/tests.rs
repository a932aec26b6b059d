//! Definitions as people write them, and the plans that are made of them.

use std::path::PathBuf;

use api::ecs::definitions::{RegisterTaskDefinitionRequest, TaskDefinition};
use api::ecs::error::EcsError;
use api::ecs::tasks::TaskOverride;
use serde_json::{Value, json};

use super::{HostPaths, Options, normalise, plan};
use crate::record::{Condition, MountPlan, Plan, SecretSource};

/// What a request with these members and one container with those is registered as.
fn registered(members: Value, container: Value) -> Result<TaskDefinition, EcsError> {
    let mut request = json!({"family": "web", "cpu": "256", "memory": "512", "containerDefinitions": [{"name": "app", "image": "nginx"}]});
    merge(&mut request["containerDefinitions"][0], container);
    merge(&mut request, members);
    api::ecs::members::check(
        api::ecs::members::operation("RegisterTaskDefinition").unwrap().members,
        &request,
    )?;
    let request: RegisterTaskDefinitionRequest = serde_json::from_value(request).unwrap();
    normalise(request)
}

fn merge(into: &mut Value, members: Value) {
    let Value::Object(members) = members else {
        panic!("members are an object")
    };
    for (name, value) in members {
        into[name] = value;
    }
}

fn planned(members: Value, container: Value, changes: Value) -> Result<Plan, EcsError> {
    let definition = registered(members, container)?;
    let changes: TaskOverride = serde_json::from_value(changes).unwrap();
    let paths = HostPaths::new(vec![PathBuf::from("/etc/app")]);
    plan(
        &definition,
        Some(&changes),
        Options {
            paths: &paths,
            can_execute: false,
        },
    )
}

fn refusal(members: Value, container: Value) -> String {
    planned(members, container, json!({}))
        .expect_err("it must be refused")
        .message
}

#[test]
fn what_is_not_said_is_filled_in_as_ecs_does() {
    let definition = registered(
        json!({"cpu": ".25 vCPU", "memory": "0.5 GB"}),
        json!({"portMappings": [{"containerPort": 80}]}),
    )
    .unwrap();
    assert_eq!(
        (definition.cpu.as_deref(), definition.memory.as_deref()),
        (Some("256"), Some("512"))
    );
    let told = api::ecs::json::document(&definition.container_definitions[0]).unwrap();
    let wanted = json!({
        "name": "app", "image": "nginx", "cpu": 0, "essential": true, "environment": [], "mountPoints": [], "volumesFrom": [],
        "systemControls": [], "portMappings": [{"containerPort": 80, "hostPort": 80, "protocol": "tcp"}],
    });
    assert_eq!(told, wanted);
}

#[test]
fn volumes_of_the_host_are_those_that_are_allowed() {
    let volume = |path: &str| json!({"volumes": [{"name": "data", "host": {"sourcePath": path}}]});
    let container =
        json!({"memory": 64, "mountPoints": [{"sourceVolume": "data", "containerPath": "/d", "readOnly": true}]});
    let planned = planned(volume("/etc/app/data"), container.clone(), json!({})).unwrap();
    assert_eq!(planned.volumes[0].host_path.as_deref(), Some("/etc/app/data"));
    assert_eq!(crate::spec::check(&planned), Ok(()));
    for path in ["/etc", "/etc/app/../shadow", "etc/app"] {
        let message = refusal(volume(path), container.clone());
        assert!(message.contains("volumes.host.sourcePath"), "{message}");
    }
}

#[test]
fn a_plan_has_what_the_definition_says() {
    let container = json!({
        "command": ["serve"], "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "stopTimeout": 600,
        "environmentFiles": [{"value": "file:///etc/app/a.env", "type": "s3"}], "secrets": [{"name": "S", "valueFrom": "db"}],
        "healthCheck": {"command": ["CMD-SHELL", "curl localhost"]}, "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
        "linuxParameters": {"tmpfs": [{"containerPath": "/run", "size": 8}], "capabilities": {"add": ["NET_ADMIN"]}},
        "ulimits": [{"name": "nofile", "softLimit": 10, "hardLimit": -1}],
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/g", "awslogs-stream-prefix": "p", "awslogs-region": "r"}},
    });
    let changes = json!({
        "cpu": "0.001 vCPU", "memory": "64", "containerOverrides": [{"name": "app", "command": ["other"], "environment": [{"name": "A", "value": "3"}]}],
    });
    let plan = planned(json!({"volumes": [{"name": "data"}]}), container, changes).unwrap();
    assert_eq!((plan.vcpu_milli, plan.memory_mib, plan.scratch_mib), (1, 64, 20 << 10));
    let app = &plan.containers[0];
    assert_eq!(app.command.as_deref(), Some(["other".to_owned()].as_slice()));
    assert_eq!(app.env, ["B=2", "A=3"]);
    assert_eq!(app.stop_timeout_seconds, 600);
    assert_eq!(app.secrets[0].source, SecretSource::File("/etc/app/a.env".to_owned()));
    assert_eq!(app.secrets[1].name.as_deref(), Some("S"));
    assert_eq!(
        app.health_check.as_ref().unwrap().command,
        ["/bin/sh", "-c", "curl localhost"]
    );
    assert_eq!(app.ulimits, [("nofile".to_owned(), Some(10), None)]);
    assert_eq!(
        (app.logging.group.as_deref(), app.logging.stream_prefix.as_deref()),
        (Some("/g"), Some("p"))
    );
    assert!(matches!(
        &app.mounts[..],
        [MountPlan::Volume { .. }, MountPlan::Tmpfs { size_mib: 8, .. }]
    ));
}

#[test]
fn ports_are_published_where_the_mode_is_bridge() {
    let ports = |mode: &str, port: Value| {
        let plan = planned(json!({"networkMode": mode}), json!({"portMappings": [port]}), json!({})).unwrap();
        plan.network.map(|network| {
            network
                .ports
                .iter()
                .map(|port| (port.host_port, port.port))
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(ports("awsvpc", json!({"containerPort": 80})), Some(vec![]));
    assert_eq!(
        ports("bridge", json!({"containerPort": 80, "hostPort": 8080})),
        Some(vec![(Some(8080), 80)])
    );
    assert_eq!(ports("bridge", json!({"containerPort": 80})), Some(vec![(None, 80)]));
    assert_eq!(ports("none", json!({"containerPort": 80})), None);
}

#[test]
fn containers_wait_for_others_and_not_for_themselves() {
    let two = |first: Value, second: Value| {
        let mut containers = [json!({"name": "a", "image": "x"}), json!({"name": "b", "image": "y"})];
        merge(&mut containers[0], first);
        merge(&mut containers[1], second);
        planned(json!({"containerDefinitions": containers}), json!({}), json!({}))
    };
    let on = |name: &str, condition: &str| json!({"dependsOn": [{"containerName": name, "condition": condition}]});
    let plan = two(on("b", "START"), json!({})).unwrap();
    assert_eq!(plan.containers[0].depends_on[0].condition, Condition::Start);
    assert!(two(on("b", "SUCCESS"), json!({"essential": false})).is_ok());
    assert!(two(on("b", "SUCCESS"), json!({})).is_err());
    assert!(two(on("b", "HEALTHY"), json!({})).is_err());
    assert!(two(on("c", "START"), json!({})).is_err());
    assert!(
        two(on("b", "START"), on("a", "START"))
            .unwrap_err()
            .message
            .contains("circle")
    );
    assert!(two(on("a", "START"), json!({})).is_err());
}

#[test]
fn what_is_wrong_is_said() {
    let none = || json!({});
    let cases = [
        (
            json!({"containerDefinitions": []}),
            none(),
            "Container definitions should not be null or empty.",
        ),
        (
            none(),
            json!({"name": ""}),
            "Container.name should not be null or empty.",
        ),
        (
            none(),
            json!({"essential": false}),
            "A task definition must have at least one essential container.",
        ),
        (
            json!({"requiresCompatibilities": ["FARGATE"], "networkMode": "bridge"}),
            none(),
            "Fargate only supports network mode ‘awsvpc’.",
        ),
        (
            json!({"requiresCompatibilities": ["FARGATE"], "cpu": null}),
            none(),
            "Fargate requires that 'cpu' be defined at the task level.",
        ),
        (
            none(),
            json!({"mountPoints": [{"sourceVolume": "x", "containerPath": "/x"}]}),
            "Invalid setting for container 'app'. Unknown volume 'x'.",
        ),
        (
            none(),
            json!({"privileged": true, "links": ["a"]}),
            "containerDefinitions[0].links is not supported by mote: containers of a task reach each other at 127.0.0.1",
        ),
        (
            none(),
            json!({"logConfiguration": {"logDriver": "splunk"}}),
            "containerDefinitions[0].logConfiguration.logDriver can be only awslogs here, not splunk",
        ),
        (
            none(),
            json!({"memory": 1024}),
            "Invalid setting for container 'app'. The task's memory is 512 MiB, less than the container's 'memory'.",
        ),
        (
            none(),
            json!({"memory": -1}),
            "Invalid setting for container 'app': memory is -1, less than nothing.",
        ),
    ];
    for (members, container, message) in cases {
        assert_eq!(refusal(members, container), message);
    }
    for container in [
        json!({"image": "Not An Image"}),
        json!({"environmentFiles": [{"value": "/etc/passwd", "type": "s3"}]}),
        json!({"healthCheck": {"command": ["curl"]}}),
        json!({"ulimits": [{"name": "nofile", "softLimit": 2, "hardLimit": 1}]}),
        json!({"portMappings": [{"containerPort": 70000}]}),
        json!({"extraHosts": [{"hostname": "a", "ipAddress": "b"}]}),
        json!({"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-multiline-pattern": "x"}}}),
        json!({"restartPolicy": {"enabled": true, "ignoredExitCodes": [256]}}),
    ] {
        assert!(planned(json!({}), container.clone(), json!({})).is_err(), "{container}");
    }
}
