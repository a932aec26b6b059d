//! Proxies that the environment names.

use std::process::{Command, Stdio};

use image::{Progress, PullOptions, Source, Store};

use crate::fake_registry::FakeRegistry;
use crate::sample::hello;
use crate::world::{World, store_options};

/// Tells a second process of this test binary which store to pull into.
const STORE: &str = "MOTE_TEST_PROXY_STORE";

/// A registry that only the proxy knows.
const REGISTRY: &str = "registry.invalid";

/// The second process of the test below; in the first one there is nothing to do.
#[tokio::test]
async fn a_pull_by_its_environment() {
    let Ok(store) = std::env::var(STORE) else { return };
    let store = Store::open(store.as_ref(), store_options()).unwrap();
    let options = PullOptions {
        insecure: vec![REGISTRY.into()],
        ..PullOptions::default()
    };
    let source = Source::parse(&format!("{REGISTRY}/app:v1")).unwrap();
    store.pull(&source, &options, &Progress::silent()).await.unwrap();
}

#[tokio::test]
async fn a_proxy_is_asked_for_others_and_not_for_this_host() {
    let registry = FakeRegistry::start().await;
    let reference = registry.push("app", "v1", &hello());
    let answering = registry.clone();
    registry.on(move |request| {
        // What is asked of a proxy is a whole URL (RFC 9112, 3.2.2).
        let path = request.path.strip_prefix(&format!("http://{REGISTRY}"))?;
        let mut request = request.clone();
        request.path = path.into();
        Some(answering.answer(&request))
    });
    let store = tempfile::tempdir().unwrap();
    let pulled = tokio::process::Command::from(Command::new(std::env::current_exe().unwrap()))
        .args(["--exact", "proxies::a_pull_by_its_environment"])
        .env(STORE, store.path())
        .env("http_proxy", format!("http://{}", registry.address))
        .stdout(Stdio::null())
        .status();
    assert!(pulled.await.unwrap().success());
    let whole = format!("http://{REGISTRY}/v2/");
    assert!(
        registry
            .requests("/manifests/")
            .iter()
            .all(|request| request.path.starts_with(&whole))
    );
    World::new().pull(&reference).await.unwrap();
    assert!(
        registry
            .requests("/manifests/")
            .iter()
            .any(|request| request.path.starts_with("/v2/"))
    );
}
