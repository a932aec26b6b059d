//! Requests of ECS: what the tables let through fits the operation's type; names and page tokens are read or refused.
#![no_main]

use api::ecs::definitions::RegisterTaskDefinitionRequest;
use api::ecs::members::{OPERATIONS, check};
use api::ecs::services::CreateServiceRequest;
use api::ecs::tasks::RunTaskRequest;
use api::ecs::{arn, json, page};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(resource) = arn::parse(text) {
            assert_eq!(arn::parse(&resource.arn("us-east-1")).expect("an ARN"), resource);
        }
        if let Ok(key) = page::parse("list", text) {
            assert_eq!(page::token("list", &key), text);
        }
        let _ = (arn::cluster(Some(text)), arn::task_definition(text));
    }
    let Ok(request) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    for operation in OPERATIONS {
        if check(operation.members, &request).is_err() {
            continue;
        }
        let mut request = request.clone();
        json::prune(&mut request);
        match operation.name {
            "RunTask" => drop(serde_json::from_value::<RunTaskRequest>(request).expect("a request")),
            "CreateService" => drop(serde_json::from_value::<CreateServiceRequest>(request).expect("a request")),
            "RegisterTaskDefinition" => {
                drop(serde_json::from_value::<RegisterTaskDefinitionRequest>(request).expect("a request"));
            }
            _ => {}
        }
    }
});
