//! Passwords and tokens: who gets them, and what is said when they are wrong.

use image::Credentials;

use crate::fake_registry::{FakeRegistry, Request, Response};
use crate::sample::{Layer, Packing, Sample, hello};
use crate::world::World;

/// "ann:secret" in base64.
const ANN: &str = "Basic YW5uOnNlY3JldA==";

fn ann(password: &str) -> Option<Credentials> {
    Some(Credentials::new("ann".into(), password.into()))
}

fn authorization(request: &Request) -> Option<&str> {
    request.headers.get("authorization").map(String::as_str)
}

/// A registry that wants Ann's password.
async fn with_password() -> (FakeRegistry, String) {
    let registry = FakeRegistry::start().await;
    let reference = registry.push("app", "v1", &hello());
    registry.on(|request| {
        let is_open = authorization(request) == Some(ANN);
        (!is_open).then(|| Response::new(401, "").header("WWW-Authenticate", r#"Basic realm="r""#))
    });
    (registry, reference)
}

/// A registry that wants a token, and the token server, which wants Ann's password.
async fn with_token() -> (FakeRegistry, FakeRegistry, String) {
    let (registry, tokens) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let reference = registry.push("app", "v1", &hello());
    let challenge = format!(
        r#"Bearer realm="http://{}/token",service="fake",scope="repository:app:pull""#,
        tokens.address
    );
    registry.on(move |request| {
        let is_open = authorization(request) == Some("Bearer t0k3n");
        (!is_open).then(|| Response::new(401, "").header("WWW-Authenticate", &challenge))
    });
    tokens.on(|request| {
        let is_ann = authorization(request) == Some(ANN) || request.method == "POST";
        Some(if is_ann {
            Response::new(200, r#"{"token":"t0k3n"}"#)
        } else {
            Response::new(401, "")
        })
    });
    (registry, tokens, reference)
}

#[tokio::test]
async fn a_password_opens() {
    let (_registry, reference) = with_password().await;
    let mut world = World::new();
    world.options.credentials = ann("secret");
    world.pull(&reference).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_and_none_are_told_apart() {
    let (_registry, reference) = with_password().await;
    let mut world = World::new();
    world
        .check_refused(&reference, "wants a user name and a password")
        .await;
    world.options.credentials = ann("guess");
    world
        .check_refused(&reference, "wrong user name or password for registry 127.0.0.1")
        .await;
}

#[tokio::test]
async fn a_token_is_fetched_with_the_password_and_used_for_all() {
    let (registry, tokens, reference) = with_token().await;
    let mut world = World::new();
    world.options.credentials = ann("secret");
    world.pull(&reference).await.unwrap();
    let asked = tokens.requests("/token");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?scope=repository%3Aapp%3Apull&service=fake");
    // The registry itself never sees the password.
    assert!(
        registry
            .requests("")
            .iter()
            .all(|request| authorization(request) != Some(ANN))
    );
}

#[tokio::test]
async fn a_wrong_password_at_the_token_server_is_told() {
    let (_registry, _tokens, reference) = with_token().await;
    let mut world = World::new();
    world
        .check_refused(&reference, "wants a user name and a password")
        .await;
    world.options.credentials = ann("guess");
    world.check_refused(&reference, "wrong user name or password").await;
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let (_registry, tokens, reference) = with_token().await;
    let mut world = World::new();
    world.options.credentials = Some(Credentials::new("<token>".into(), "refresh".into()));
    world.pull(&reference).await.unwrap();
    assert_eq!(tokens.requests("/token")[0].method, "POST");
}

#[tokio::test]
async fn a_token_for_nothing_is_a_refusal() {
    let (registry, tokens, reference) = with_token().await;
    let challenge = format!(r#"Bearer realm="http://{}/token""#, tokens.address);
    registry.on(move |_| Some(Response::new(401, "").header("WWW-Authenticate", &challenge)));
    let mut world = World::new();
    world.options.credentials = ann("secret");
    world
        .check_refused(&reference, "does not exist, or access to it is denied")
        .await;
}

#[tokio::test]
async fn a_password_goes_to_no_unencrypted_stranger() {
    let (registry, _tokens, reference) = with_token().await;
    registry
        .on(|_| Some(Response::new(401, "").header("WWW-Authenticate", r#"Bearer realm="http://auth.invalid/token""#)));
    let mut world = World::new();
    world.options.credentials = ann("secret");
    world
        .check_refused(&reference, "without encryption, which is refused")
        .await;
}

#[tokio::test]
async fn a_redirect_gets_no_credentials() {
    let (registry, storage) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let layer = Layer::new("a", b"a", Packing::Gzip);
    let sample = Sample::new(vec![layer.clone()]);
    let reference = registry.push("app", "v1", &sample);
    storage.set("/elsewhere", &layer.blob.bytes);
    let location = format!("http://{}/elsewhere", storage.address);
    registry.on(move |request| {
        if authorization(request) != Some(ANN) {
            return Some(Response::new(401, "").header("WWW-Authenticate", r#"Basic realm="r""#));
        }
        request
            .path
            .contains(&layer.blob.digest.to_string())
            .then(|| Response::new(307, "").header("Location", &location))
    });
    let mut world = World::new();
    world.options.credentials = ann("secret");
    world.pull(&reference).await.unwrap();
    let asked = storage.requests("/elsewhere");
    assert_eq!(asked.len(), 1);
    assert_eq!(authorization(&asked[0]), None);
}
