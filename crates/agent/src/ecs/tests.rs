//! The operations, on a core that stores tasks and runs none.

use api::ecs::error::ErrorKind;
use serde_json::{Value, json};

use super::Caller;
use super::fake::Host;
use crate::ports::Records;

const DEFINITION: &str = "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1";

#[tokio::test]
async fn a_task_is_run_described_listed_and_stopped() {
    let host = Host::default();
    host.register("web").await;
    let run = json!({"taskDefinition": "web", "count": 2, "startedBy": "me", "tags": [{"key": "k", "value": "v"}]});
    let ran = host.ask("RunTask", run).await;
    assert_eq!(ran["failures"], json!([]));
    let task = &ran["tasks"][1];
    assert_eq!(task["taskDefinitionArn"], DEFINITION);
    assert_eq!(
        (&task["cpu"], &task["memory"], &task["group"]),
        (&json!("256"), &json!("512"), &json!("family:web"))
    );
    assert_eq!(
        task["overrides"],
        json!({"containerOverrides": [{"name": "app"}], "inferenceAcceleratorOverrides": []})
    );
    let listed = host.ask("ListTasks", json!({"startedBy": "me", "maxResults": 1})).await;
    assert_eq!(listed["taskArns"], json!([task["taskArn"]]));
    let next = host
        .ask(
            "ListTasks",
            json!({"startedBy": "me", "maxResults": 1, "nextToken": listed["nextToken"]}),
        )
        .await;
    assert_eq!(next["taskArns"], json!([ran["tasks"][0]["taskArn"]]));
    assert_eq!(next.get("nextToken"), None);
    let stopped = host
        .ask("StopTask", json!({"task": task["taskArn"], "reason": "enough"}))
        .await;
    assert_eq!(
        (&stopped["task"]["stopCode"], &stopped["task"]["stoppedReason"]),
        (&json!("UserInitiated"), &json!("enough"))
    );
    let described = host
        .ask(
            "DescribeTasks",
            json!({"tasks": [task["taskArn"], "0123"], "include": ["TAGS"]}),
        )
        .await;
    assert_eq!(described["tasks"][0]["lastStatus"], "STOPPED");
    assert_eq!(described["tasks"][0]["stoppedAt"], json!(1_795_000_000.123));
    assert_eq!(described["tasks"][0]["tags"], json!([{"key": "k", "value": "v"}]));
    assert_eq!(described["failures"][0]["reason"], "MISSING");
    let listed = host.ask("ListTasks", json!({"desiredStatus": "STOPPED"})).await;
    assert_eq!(listed["taskArns"], json!([task["taskArn"]]));
}

#[tokio::test]
async fn the_same_token_means_the_same_tasks() {
    let host = Host::default();
    host.register("web").await;
    let run = json!({"taskDefinition": "web", "count": 2, "clientToken": "t"});
    let arns = |answer: &Value| {
        answer["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["taskArn"].clone())
            .collect::<Vec<_>>()
    };
    let first = arns(&host.ask("RunTask", run.clone()).await);
    assert_eq!(first.len(), 2);
    let (second, third) = tokio::join!(host.ask("RunTask", run.clone()), host.ask("RunTask", run.clone()));
    assert_eq!((arns(&second), arns(&third)), (first.clone(), first));
    let (kind, _) = host
        .refusal(
            "RunTask",
            json!({"taskDefinition": "web", "count": 1, "clientToken": "t"}),
        )
        .await;
    assert_eq!(kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn what_was_begun_with_a_token_before_a_death_is_brought_to_its_end() {
    let host = Host::default();
    host.register("web").await;
    let run = json!({"taskDefinition": "web", "count": 2, "clientToken": "t"});
    let ran = host.ask("RunTask", run.clone()).await;
    // As if the host agent had died between the first task and the second.
    let id = |index: usize| {
        ran["tasks"][index]["taskArn"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    };
    host.ecs.store().remove(&id(1)).unwrap();
    let digest = host.ecs.store().token("RunTask", "t", 0).unwrap().unwrap().digest;
    host.ecs.store().end_token("RunTask", "t", None).unwrap();
    host.ecs
        .store()
        .begin_token("RunTask", "t", &digest, &[], crate::clock::wall_ms())
        .unwrap();
    let again = host.ask("RunTask", run).await;
    assert_eq!(again["tasks"][0]["taskArn"], ran["tasks"][0]["taskArn"]);
    assert_eq!(again["tasks"].as_array().unwrap().len(), 2);
    assert_ne!(again["tasks"][1]["taskArn"], ran["tasks"][1]["taskArn"]);
}

#[tokio::test]
async fn what_never_fits_is_a_failure_of_each_task() {
    let host = Host::default();
    host.register("web").await;
    let run = json!({"taskDefinition": "web", "count": 2, "overrides": {"memory": "8 GB"}});
    let ran = host.ask("RunTask", run).await;
    assert_eq!(ran["tasks"], json!([]));
    assert_eq!(ran["failures"][1]["reason"], "RESOURCE:MEMORY");
    assert_eq!(ran["failures"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn definitions_have_revisions_and_go() {
    let host = Host::default();
    host.register("web").await;
    host.register("web").await;
    let described = host
        .ask("DescribeTaskDefinition", json!({"taskDefinition": "web"}))
        .await;
    assert_eq!(described["taskDefinition"]["revision"], 2);
    let listed = host
        .ask("ListTaskDefinitions", json!({"sort": "DESC", "maxResults": 1}))
        .await;
    assert!(listed["taskDefinitionArns"][0].as_str().unwrap().ends_with("web:2"));
    let next = json!({"sort": "DESC", "maxResults": 1, "nextToken": listed["nextToken"]});
    assert_eq!(
        host.ask("ListTaskDefinitions", next).await["taskDefinitionArns"],
        json!([DEFINITION])
    );
    assert_eq!(
        host.ask("ListTaskDefinitionFamilies", json!({})).await["families"],
        json!(["web"])
    );
    let gone = host
        .ask("DeregisterTaskDefinition", json!({"taskDefinition": "web:2"}))
        .await;
    assert_eq!(gone["taskDefinition"]["status"], "INACTIVE");
    let (_, message) = host.refusal("RunTask", json!({"taskDefinition": "web:2"})).await;
    assert_eq!(message, "TaskDefinition is inactive");
    let deleted = host
        .ask("DeleteTaskDefinitions", json!({"taskDefinitions": ["web:1", "web:2"]}))
        .await;
    assert_eq!(deleted["taskDefinitions"][0]["status"], "DELETE_IN_PROGRESS");
    assert_eq!(deleted["failures"].as_array().unwrap().len(), 1);
    let missing = host
        .refusal("DescribeTaskDefinition", json!({"taskDefinition": "web:2"}))
        .await;
    assert_eq!(
        missing,
        (ErrorKind::Client, "Unable to describe task definition.".to_owned())
    );
}

#[tokio::test]
async fn clusters_are_made_described_and_deleted() {
    let host = Host::default();
    let made = host
        .ask(
            "CreateCluster",
            json!({"clusterName": "dev", "tags": [{"key": "k", "value": "v"}]}),
        )
        .await;
    assert_eq!(made["cluster"]["status"], "ACTIVE");
    let described = host
        .ask(
            "DescribeClusters",
            json!({"clusters": ["dev", "none"], "include": ["TAGS", "STATISTICS"]}),
        )
        .await;
    assert_eq!(described["clusters"][0]["tags"], json!([{"key": "k", "value": "v"}]));
    assert_eq!(described["failures"][0]["reason"], "MISSING");
    let listed = host.ask("ListClusters", json!({})).await;
    assert_eq!(listed["clusterArns"].as_array().unwrap().len(), 2);
    host.register("web").await;
    host.ask("RunTask", json!({"taskDefinition": "web", "cluster": "dev"}))
        .await;
    assert_eq!(
        host.refusal("DeleteCluster", json!({"cluster": "dev"})).await.0,
        ErrorKind::ClusterContainsTasks
    );
    assert_eq!(
        host.refusal("DeleteCluster", json!({"cluster": "none"})).await.1,
        "Cluster not found."
    );
    assert_eq!(
        host.refusal("ListTasks", json!({"cluster": "none"})).await.0,
        ErrorKind::ClusterNotFound
    );
}

#[tokio::test]
async fn commands_are_executed_only_where_that_was_enabled() {
    let host = Host::default();
    host.register("web").await;
    let run = |enabled: bool| json!({"taskDefinition": "web", "enableExecuteCommand": enabled});
    let without = host.ask("RunTask", run(false)).await["tasks"][0]["taskArn"].clone();
    let with = host.ask("RunTask", run(true)).await["tasks"][0].clone();
    assert_eq!(with["containers"][0]["managedAgents"][0]["lastStatus"], "RUNNING");
    let execute = |task: &Value| json!({"task": task, "command": "sh -c 'id'", "interactive": true});
    let answer = host.ask("ExecuteCommand", execute(&with["taskArn"])).await;
    assert_eq!(answer["session"]["tokenValue"], "sh -c id");
    assert_eq!(
        host.refusal("ExecuteCommand", execute(&without)).await.0,
        ErrorKind::InvalidParameter
    );
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_refused_as_ecs_does() {
    let host = Host::default();
    assert_eq!(
        host.refusal("CreateTaskSet", json!({})).await.0,
        ErrorKind::UnsupportedFeature
    );
    assert_eq!(
        host.refusal("MakeCoffee", json!({})).await.0,
        ErrorKind::UnknownOperation
    );
    assert_eq!(
        host.refusal("RunTask", json!({"taskDefinition": "web"})).await.1,
        "TaskDefinition not found."
    );
    assert_eq!(
        host.refusal("StopTask", json!({"task": "x"})).await.1,
        "The referenced task was not found."
    );
    assert_eq!(
        host.refusal("ListTasks", json!({"nextToken": "tok-1"})).await.0,
        ErrorKind::InvalidParameter
    );
    assert_eq!(
        host.refusal("ListTasks", json!({"maxResults": 101})).await.0,
        ErrorKind::InvalidParameter
    );
    let body = host.ecs.call(Caller::local(), "ListTasks", b"{").await.unwrap_err();
    assert_eq!(body.kind, ErrorKind::Serialization);
    let reader = Caller {
        role: api::identity::Role::ReadOnly,
        ..Caller::local()
    };
    let denied = host.ecs.call(reader, "StopTask", b"{}").await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::AccessDenied);
}

#[tokio::test]
async fn tags_settings_and_providers_are_told() {
    let host = Host::default();
    let arn = "arn:aws:ecs:us-east-1:000000000000:cluster/default";
    host.ask(
        "TagResource",
        json!({"resourceArn": arn, "tags": [{"key": "a", "value": "1"}, {"key": "b"}]}),
    )
    .await;
    host.ask("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a"]}))
        .await;
    assert_eq!(
        host.ask("ListTagsForResource", json!({"resourceArn": arn})).await["tags"],
        json!([{"key": "b", "value": ""}])
    );
    assert!(
        host.call("TagResource", json!({"resourceArn": arn, "tags": [{"key": "aws:a"}]}))
            .await
            .is_err()
    );
    let settings = host
        .ask(
            "ListAccountSettings",
            json!({"effectiveSettings": true, "name": "taskLongArnFormat"}),
        )
        .await;
    assert_eq!(settings["settings"][0]["value"], "enabled");
    let providers = host.ask("DescribeCapacityProviders", json!({})).await;
    assert_eq!(providers["capacityProviders"].as_array().unwrap().len(), 2);
}
