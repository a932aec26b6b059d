//! Registries that stand in for others, and who is told which password.

use image::{Credentials, Mirror};

use crate::fake_registry::{FakeRegistry, Response};
use crate::sample::{Sample, hello};
use crate::world::World;

/// "ann:secret" in base64.
const ANN: &str = "Basic YW5uOnNlY3JldA==";

fn mirror(registry: &FakeRegistry, credentials: Option<Credentials>) -> Mirror {
    Mirror {
        location: format!("{}/hub", registry.address),
        credentials,
    }
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_name_stays() {
    let (registry, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let reference = registry.push("app", "v1", &Sample::new(vec![]));
    other.push("hub/app", "v1", &hello());
    let mut world = World::new();
    world.options.mirrors = vec![mirror(&other, None)];
    let image = world.pull(&reference).await.unwrap();
    assert_eq!(image.record.digest, hello().manifest.digest);
    assert_eq!(image.names, [reference]);
    assert_eq!(registry.requests("").len(), 0);
}

#[tokio::test]
async fn a_mirror_that_fails_is_passed_over() {
    for status in [404, 401, 500] {
        let (registry, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
        let reference = registry.push("app", "v1", &hello());
        other.on(move |_| Some(Response::new(status, "")));
        let mut world = World::new();
        world.options.mirrors = vec![mirror(&other, None)];
        let image = world.pull(&reference).await.unwrap();
        assert_eq!(image.record.digest, hello().manifest.digest);
    }
}

#[tokio::test]
async fn what_a_mirror_has_wrong_comes_from_the_registry() {
    let (registry, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let reference = registry.push("app", "v1", &hello());
    other.push("hub/app", "v1", &hello());
    let blob = &hello().layers[0].blob;
    other.set(
        &format!("/v2/hub/app/blobs/{}", blob.digest),
        &vec![0; blob.bytes.len()],
    );
    let mut world = World::new();
    world.options.mirrors = vec![mirror(&other, None)];
    world.pull(&reference).await.unwrap();
    assert_eq!(registry.requests(&blob.digest.to_string()).len(), 1);
}

#[tokio::test]
async fn each_gets_its_own_password_alone() {
    let (registry, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let reference = registry.push("app", "v1", &hello());
    for asked in [&registry, &other] {
        let asked = asked.clone();
        asked.on(|request| {
            let is_ann = request.headers.get("authorization").is_some_and(|value| value == ANN);
            (!is_ann).then(|| Response::new(401, "").header("WWW-Authenticate", r#"Basic realm="r""#))
        });
    }
    let mut world = World::new();
    world.options.credentials = Some(Credentials::new("ann".into(), "secret".into()));
    world.options.mirrors = vec![mirror(&other, Some(Credentials::new("bob".into(), "guess".into())))];
    world.pull(&reference).await.unwrap();
    let told: Vec<_> = other
        .requests("")
        .into_iter()
        .filter_map(|request| request.headers.get("authorization").cloned())
        .collect();
    assert!(!told.is_empty());
    assert!(told.iter().all(|value| value != ANN), "{told:?}");
}

#[tokio::test]
async fn a_sign_in_is_tried_without_any_image() {
    let registry = FakeRegistry::start().await;
    registry.on(|request| {
        let is_ann = request.headers.get("authorization").is_some_and(|value| value == ANN);
        (!is_ann).then(|| Response::new(401, "").header("WWW-Authenticate", r#"Basic realm="r""#))
    });
    let mut world = World::new();
    let domain = registry.address.to_string();
    for (password, is_right) in [("secret", true), ("guess", false)] {
        world.options.credentials = Some(Credentials::new("ann".into(), password.into()));
        assert_eq!(world.store.sign_in(&domain, &world.options).await.is_ok(), is_right);
    }
}
