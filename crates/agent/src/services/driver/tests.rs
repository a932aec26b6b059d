//! Services on tasks that exist in memory only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use futures_util::future::{BoxFuture, FutureExt};

use super::*;
use crate::services::outside::WantedTask;
use crate::services::policy::{Policy, SETTLE_MS};
use crate::services::request::Update;
use crate::services::service::{Rollout, TaskOptions};
use crate::services::simulation::Seeded;

/// Time that stands still: what waits for it, is woken by changes.
static NOW_MS: AtomicU64 = AtomicU64::new(1_000_000);

/// Tasks that run and have settled as soon as they are started.
#[derive(Default)]
pub struct World {
    services: Mutex<Option<Services>>,
    tasks: Mutex<HashMap<String, TaskRecord>>,
    stored: Mutex<HashMap<Key, Service>>,
    pub is_full: AtomicBool,
}

impl World {
    fn saw(&self, record: TaskRecord) {
        lock(&self.tasks).insert(record.id.clone(), record.clone());
        let services = lock(&self.services).clone();
        if let Some(services) = services {
            services.saw(&record);
        }
    }

    pub fn running(&self) -> Vec<TaskRecord> {
        let tasks = lock(&self.tasks);
        let mut running: Vec<_> = (tasks.values())
            .filter(|task| task.status == api::task::Status::Running)
            .cloned()
            .collect();
        running.sort_by(|one, other| one.id.cmp(&other.id));
        running
    }

    pub fn end(&self, mut record: TaskRecord, code: crate::record::StopCode) {
        record.status = api::task::Status::Stopped;
        record.is_wanted = false;
        record.times.stopped_ms = Some(NOW_MS.load(Ordering::Relaxed));
        let reason = String::new();
        record.stop = Some(crate::record::Stop { code, reason });
        self.saw(record);
    }
}

impl Tasks for World {
    fn start<'a>(&'a self, wanted: &'a WantedTask) -> BoxFuture<'a, Result<String, String>> {
        async move {
            if self.is_full.load(Ordering::Relaxed) {
                return Err("there is no memory".to_owned());
            }
            let number = lock(&self.tasks).len();
            let mut record = crate::services::view::tests::record("RUNNING");
            record.id = format!("{number:032x}");
            record.definition.clone_from(&wanted.definition);
            record.times.started_ms = Some(NOW_MS.load(Ordering::Relaxed) - SETTLE_MS);
            record.service = Some(crate::record::ServiceOrigin {
                service: wanted.service.clone(),
                deployment: wanted.deployment.clone(),
            });
            let id = record.id.clone();
            self.saw(record);
            Ok(id)
        }
        .boxed()
    }

    fn stop<'a>(&'a self, task: &'a str, _: &'a str) -> BoxFuture<'a, ()> {
        let record = lock(&self.tasks).get(task).cloned();
        if let Some(record) = record {
            self.end(record, crate::record::StopCode::ServiceSchedulerInitiated);
        }
        async {}.boxed()
    }
}

impl Records for World {
    fn put(&self, service: &Service) -> Result<(), String> {
        lock(&self.stored).insert(key(service), service.clone());
        Ok(())
    }

    fn get(&self, cluster: &str, name: &str) -> Result<Option<Service>, String> {
        Ok(lock(&self.stored).get(&(cluster.to_owned(), name.to_owned())).cloned())
    }

    fn unfinished(&self) -> Result<Vec<Service>, String> {
        let stored = lock(&self.stored);
        let unfinished = stored
            .values()
            .filter(|service| service.status != ServiceStatus::Inactive);
        Ok(unfinished.cloned().collect())
    }
}

pub fn services(world: &Arc<World>) -> Services {
    let services = Services::new(Surroundings {
        tasks: world.clone(),
        records: world.clone(),
        journal: Journal::default(),
        now_ms: || NOW_MS.load(Ordering::Relaxed),
        random: || Box::new(Seeded(NOW_MS.fetch_add(1, Ordering::Relaxed))),
    });
    *lock(&world.services) = Some(services.clone());
    services
}

fn new(desired: u32) -> NewService {
    NewService {
        cluster: "default".to_owned(),
        name: "web".to_owned(),
        definition: "web:1".to_owned(),
        desired,
        policy: Policy::default(),
        tasks: TaskOptions::default(),
        grace_seconds: 0,
        echoed: serde_json::Map::new(),
        fingerprint: desired.to_string(),
    }
}

/// Waits until the service is as it is to be.
pub async fn until(services: &Services, is_so: impl Fn(&Service) -> bool) -> Arc<Service> {
    let mut followed = services.follow("default", "web").unwrap();
    followed.wait_for(|service| is_so(service)).await.unwrap().clone()
}

#[tokio::test]
async fn a_service_is_created_heals_is_updated_and_deleted() {
    let world = Arc::new(World::default());
    let services = services(&world);
    services.create(new(2)).await.unwrap();
    until(&services, |service| service.is_steady).await;
    assert_eq!(services.counts("default", "web").values().next().unwrap().running, 2);

    let first = world.running().remove(0);
    world.end(first, crate::record::StopCode::EssentialContainerExited);
    until(&services, |service| {
        service.is_steady && service.open.iter().all(|open| open.id != format!("{:032x}", 0))
    })
    .await;
    assert_eq!(world.running().len(), 2);

    let update = Update {
        definition: Some("web:2".to_owned()),
        ..Update::default()
    };
    let changed = services
        .change("default", "web", |service, now_ms, random| {
            request::update(service, update, now_ms, random)
        })
        .await
        .unwrap();
    assert_eq!(changed.deployments.len(), 2);
    let done = until(&services, |service| service.is_steady && service.deployments.len() == 1).await;
    assert_eq!(
        (done.deployments[0].definition.as_str(), done.deployments[0].rollout),
        ("web:2", Rollout::Completed)
    );
    assert!(world.running().iter().all(|task| task.definition == "web:2"));

    let mut followed = services.follow("default", "web").unwrap();
    let deleted = services
        .change("default", "web", |service, _, _| request::delete(service, true))
        .await;
    assert_eq!(deleted.unwrap().status, ServiceStatus::Draining);
    let inactive = followed.wait_for(|service| service.status == ServiceStatus::Inactive);
    inactive.await.unwrap();
    assert!(world.running().is_empty());
}

#[tokio::test]
async fn the_same_request_creates_one_service_and_another_is_refused() {
    let world = Arc::new(World::default());
    let services = services(&world);
    services.create(new(1)).await.unwrap();
    services.create(new(1)).await.unwrap();
    assert!(matches!(
        services.create(new(2)).await,
        Err(ServiceError::NotIdempotent)
    ));
    assert!(matches!(
        services.change("default", "other", |_, _, _| Ok(())).await,
        Err(ServiceError::NotFound)
    ));
    assert_eq!(services.list(Some("default")).len(), 1);
    assert_eq!(services.list(Some("other")).len(), 0);
}

#[tokio::test]
async fn after_a_restart_what_was_lost_is_replaced() {
    let world = Arc::new(World::default());
    let first = services(&world);
    first.create(new(3)).await.unwrap();
    until(&first, |service| service.is_steady).await;
    drop(first);
    *lock(&world.services) = None;
    let lost = world.running().remove(0);
    world.end(lost, crate::record::StopCode::TerminationNotice);
    let records: Vec<_> = lock(&world.tasks).values().cloned().map(Arc::new).collect();
    let services = services(&world);
    services.resume(&records).unwrap();
    until(&services, |service| {
        service.is_steady && service.open.iter().all(|open| open.id != format!("{:032x}", 0))
    })
    .await;
    assert_eq!(world.running().len(), 3);
    assert_eq!(lock(&world.tasks).len(), 4);
}

#[tokio::test]
async fn what_cannot_be_placed_is_told() {
    let world = Arc::new(World::default());
    world.is_full.store(true, Ordering::Relaxed);
    let services = services(&world);
    services.create(new(1)).await.unwrap();
    let stored = until(&services, |service| !service.notes.is_empty()).await;
    assert_eq!(
        stored.notes[0].message,
        "(service web) was unable to place a task. Reason: there is no memory."
    );
    world.is_full.store(false, Ordering::Relaxed);
    NOW_MS.fetch_add(3_600_000, Ordering::Relaxed);
    services.change("default", "web", |_, _, _| Ok(())).await.unwrap();
    until(&services, |service| service.is_steady).await;
}
