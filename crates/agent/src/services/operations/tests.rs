//! The operations, on services whose tasks exist in memory only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use api::ecs::error::ErrorKind;
use api::ecs::services::{
    CreateServiceRequest, DeleteServiceRequest, DescribeServiceDeploymentsRequest, DescribeServicesRequest,
    ListServiceDeploymentsRequest, ListServicesRequest, Service as Told, StopServiceDeploymentRequest,
    UpdateServiceRequest,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::record::StopCode;
use crate::services::driver::tests::{World, services, until};
use crate::services::service::ServiceStatus;

#[derive(Default)]
struct Fake {
    tags: Mutex<BTreeMap<String, Vec<(String, String)>>>,
}

impl Catalogue for Fake {
    fn cluster(&self, reference: Option<&str>) -> Result<String, EcsError> {
        let name = arn::cluster(reference)?;
        if name == "default" {
            Ok(name)
        } else {
            Err(EcsError::cluster_not_found())
        }
    }

    fn definition(&self, reference: &str) -> Result<String, EcsError> {
        let (family, revision) = arn::task_definition(reference)?;
        Ok(format!("{family}:{}", revision.unwrap_or(7)))
    }

    fn tags(&self, _: &str, service: &str) -> Result<Vec<(String, String)>, EcsError> {
        Ok(self.tags.lock().unwrap().get(service).cloned().unwrap_or_default())
    }

    fn set_tags(&self, _: &str, service: &str, tags: &[(String, String)]) -> Result<(), EcsError> {
        self.tags.lock().unwrap().insert(service.to_owned(), tags.to_vec());
        Ok(())
    }
}

struct Scene {
    world: Arc<World>,
    services: Services,
    catalogue: Fake,
}

impl Scene {
    fn new() -> Self {
        let world = Arc::new(World::default());
        Self {
            services: services(&world),
            world,
            catalogue: Fake::default(),
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            services: &self.services,
            catalogue: &self.catalogue,
            region: "us-east-1",
        }
    }

    async fn create(&self, request: Value) -> Result<Told, EcsError> {
        let request: CreateServiceRequest = request_of(request);
        create(self.context(), request).await.map(|answer| answer.service)
    }

    async fn update(&self, request: Value) -> Result<Told, EcsError> {
        let request: UpdateServiceRequest = request_of(request);
        update(self.context(), request).await.map(|answer| answer.service)
    }

    async fn delete(&self, force: bool) -> Result<Told, EcsError> {
        let request: DeleteServiceRequest = request_of(json!({"service": "web", "force": force}));
        delete(self.context(), request).await.map(|answer| answer.service)
    }

    async fn describe(&self, name: &str) -> Option<Told> {
        let request: DescribeServicesRequest = request_of(json!({"services": [name], "include": ["TAGS"]}));
        describe(self.context(), request).await.unwrap().services.pop()
    }

    async fn steady(&self) {
        until(&self.services, |service| {
            service.is_steady && service.deployments.len() == 1
        })
        .await;
    }
}

fn request_of<T: DeserializeOwned>(request: Value) -> T {
    serde_json::from_value(request).unwrap()
}

fn web() -> Value {
    json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": 2, "clientToken": "one", "launchType": "FARGATE",
        "tags": [{"key": "a", "value": "b"}],
        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
        "deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": true, "rollback": true}},
    })
}

async fn refusal<T: std::fmt::Debug>(answer: impl Future<Output = Result<T, EcsError>>) -> (ErrorKind, String) {
    let error = answer.await.unwrap_err();
    (error.kind, error.message)
}

#[tokio::test]
async fn a_service_is_told_as_ecs_tells_it() {
    let scene = Scene::new();
    let created = scene.create(web()).await.unwrap();
    assert_eq!(
        created.service_arn,
        "arn:aws:ecs:us-east-1:000000000000:service/default/web"
    );
    assert_eq!((created.status.as_str(), created.desired_count), ("ACTIVE", 2));
    assert!(created.task_definition.ends_with(":task-definition/web:7"));
    scene.steady().await;
    let told = scene.describe("web").await.unwrap();
    assert_eq!((told.running_count, told.pending_count), (2, 0));
    assert_eq!(told.tags.as_ref().unwrap()[0].key, "a");
    assert_eq!(
        told.network_configuration
            .as_ref()
            .unwrap()
            .awsvpc_configuration
            .as_ref()
            .unwrap()
            .subnets,
        ["subnet-1"]
    );
    let [deployment] = &told.deployments[..] else {
        panic!("{:?}", told.deployments);
    };
    assert_eq!(deployment.status, "PRIMARY");
    assert_eq!(deployment.rollout_state.as_deref(), Some("COMPLETED"));
    assert_eq!(deployment.running_count, 2);
    assert!(told.events[0].message.ends_with("has reached a steady state."));
    let configuration = told.deployment_configuration.unwrap();
    assert_eq!(
        (configuration.minimum_healthy_percent, configuration.maximum_percent),
        (Some(100), Some(200))
    );
}

#[tokio::test]
async fn a_request_that_comes_twice_creates_one_service() {
    let scene = Scene::new();
    scene.create(web()).await.unwrap();
    let mut again = web();
    again["clientToken"] = json!("two");
    scene.create(again.clone()).await.unwrap();
    again["desiredCount"] = json!(3);
    assert_eq!(
        refusal(scene.create(again)).await,
        (
            ErrorKind::InvalidParameter,
            "Creation of service was not idempotent.".to_owned()
        )
    );
}

#[tokio::test]
async fn what_is_not_there_or_not_active_is_refused_in_ecs_words() {
    let scene = Scene::new();
    assert!(scene.describe("web").await.is_none());
    let request: DescribeServicesRequest = request_of(json!({"services": ["web"]}));
    let failures = describe(scene.context(), request).await.unwrap().failures;
    assert_eq!(failures[0].reason.as_deref(), Some("MISSING"));
    assert_eq!(
        refusal(scene.update(json!({"service": "web"}))).await.0,
        ErrorKind::ServiceNotFound
    );
    assert_eq!(refusal(scene.delete(true)).await.0, ErrorKind::ServiceNotFound);
    scene.create(web()).await.unwrap();
    assert_eq!(
        refusal(scene.delete(false)).await.1,
        "The service cannot be stopped while it is scaled above 0."
    );
    scene.steady().await;
    let mut followed = scene.services.follow("default", "web").unwrap();
    assert_eq!(scene.delete(true).await.unwrap().status, "DRAINING");
    let inactive = followed.wait_for(|service| service.status == ServiceStatus::Inactive);
    inactive.await.unwrap();
    assert_eq!(
        refusal(scene.update(json!({"service": "web"}))).await,
        (ErrorKind::ServiceNotActive, "Service was not ACTIVE.".to_owned())
    );
    assert_eq!(scene.describe("web").await.unwrap().status, "INACTIVE");
    scene.create(web()).await.unwrap();
}

#[tokio::test]
async fn values_that_cannot_be_are_refused() {
    let scene = Scene::new();
    let wrong = [
        json!({"serviceName": "a b", "taskDefinition": "web", "desiredCount": 1}),
        json!({"serviceName": "web", "desiredCount": 1}),
        json!({"serviceName": "web", "taskDefinition": "web"}),
        json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": -1}),
        json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1, "propagateTags": "ALL"}),
        json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1, "healthCheckGracePeriodSeconds": -1}),
        json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1, "deploymentConfiguration": {"maximumPercent": 99}}),
        json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1, "deploymentConfiguration": {"minimumHealthyPercent": 101}}),
    ];
    for request in wrong {
        let shown = request.to_string();
        assert_eq!(
            refusal(scene.create(request)).await.0,
            ErrorKind::InvalidParameter,
            "{shown}"
        );
    }
    let request = json!({"cluster": "other", "serviceName": "web", "taskDefinition": "web", "desiredCount": 1});
    assert_eq!(refusal(scene.create(request)).await.0, ErrorKind::ClusterNotFound);
}

#[tokio::test]
async fn services_are_listed_by_pages() {
    let scene = Scene::new();
    for name in ["c", "a", "b"] {
        let request = json!({"serviceName": name, "taskDefinition": "web", "desiredCount": 0});
        scene.create(request).await.unwrap();
    }
    let page = |token: Option<String>| {
        let request: ListServicesRequest = request_of(json!({"maxResults": 2, "nextToken": token}));
        list(scene.context(), &request).unwrap()
    };
    let first = page(None);
    assert!(first.service_arns[0].ends_with("/a") && first.service_arns[1].ends_with("/b"));
    let last = page(first.next_token);
    assert!(last.service_arns.len() == 1 && last.service_arns[0].ends_with("/c") && last.next_token.is_none());
    let request: ListServicesRequest = request_of(json!({"schedulingStrategy": "DAEMON"}));
    assert!(list(scene.context(), &request).unwrap().service_arns.is_empty());
}

#[tokio::test]
async fn deployments_are_listed_described_and_stopped() {
    let scene = Scene::new();
    scene.create(web()).await.unwrap();
    scene.steady().await;
    let told = scene
        .update(json!({"service": "web", "taskDefinition": "web:8"}))
        .await
        .unwrap();
    assert_eq!(told.deployments.len(), 2);
    scene.steady().await;
    let request: ListServiceDeploymentsRequest = request_of(json!({"service": "web"}));
    let listed = list_deployments(scene.context(), request)
        .await
        .unwrap()
        .service_deployments;
    assert_eq!([&*listed[0].status, &*listed[1].status], ["SUCCESSFUL", "SUCCESSFUL"]);
    let request: ListServiceDeploymentsRequest = request_of(json!({"service": "web", "status": ["IN_PROGRESS"]}));
    assert!(
        list_deployments(scene.context(), request)
            .await
            .unwrap()
            .service_deployments
            .is_empty()
    );
    let arn = listed[0].service_deployment_arn.clone();
    let stop: StopServiceDeploymentRequest = request_of(json!({"serviceDeploymentArn": arn}));
    assert_eq!(
        refusal(stop_deployment(scene.context(), stop)).await.0,
        ErrorKind::Conflict
    );
    let arns = json!({"serviceDeploymentArns": [arn, arn.replace("/web/", "/other/")]});
    let request: DescribeServiceDeploymentsRequest = request_of(arns);
    let told = describe_deployments(scene.context(), request).await.unwrap();
    assert_eq!((told.service_deployments.len(), told.failures.len()), (1, 1));
    let breaker = told.service_deployments[0].deployment_circuit_breaker.clone().unwrap();
    assert_eq!((breaker.status.as_str(), breaker.threshold), ("MONITORING_COMPLETE", 3));
}

#[tokio::test]
async fn a_task_that_dies_is_replaced() {
    let scene = Scene::new();
    scene.create(web()).await.unwrap();
    scene.steady().await;
    let victim = scene.world.running().remove(0);
    let id = victim.id.clone();
    scene.world.end(victim, StopCode::EssentialContainerExited);
    until(&scene.services, |service| {
        service.is_steady && service.open.iter().all(|open| open.id != id)
    })
    .await;
    assert_eq!(scene.describe("web").await.unwrap().running_count, 2);
}
