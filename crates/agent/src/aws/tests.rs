//! The real clients, boto3, the AWS command line and our own, against the calls over TCP on a core that stores tasks and runs none.

use std::path::Path;
use std::sync::Arc;

use api::client::{Client, Signer};
use api::identity::AccessKey;
use api::route;
use axum::body::Bytes;
use axum::routing::{get, post};
use axum::{Json, middleware};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::{Aws, Gate, guard};
use crate::credentials::Credentials;
use crate::ecs::fake::Host;
use crate::logs::Logs;
use crate::logs::cloudwatch::CloudWatch;
use crate::secrets::seal::Seal;

/// Serves the calls, and a route of mote's own that says how long its body is, until the runtime ends; where, and to whom.
async fn serve(host: &Host) -> (String, AccessKey) {
    let directory = tempfile::tempdir().unwrap();
    let seal = Arc::new(Seal::open(&directory.path().join("secret.key")).unwrap());
    let credentials = Credentials::open(host.ecs.store().clone(), seal).unwrap();
    let key = credentials.list().unwrap().remove(0);
    let logs = Logs::new(directory.path().join("logs"), 1 << 20);
    let router = Aws::new(host.ecs.clone(), CloudWatch::new(logs, "eu-central-1".to_owned())).router();
    let images = post(async |body: Bytes| Json(json!({"done": {"images": []}, "len": body.len()})));
    let router = router
        .route(route::TASKS, get(async || Json(json!({"tasks": []}))))
        .route(route::IMAGES_LOAD, images)
        .layer(middleware::from_fn_with_state(Gate::new(credentials), guard));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let _directory = directory;
        axum::serve(listener, router).await
    });
    (endpoint, key)
}

#[tokio::test]
async fn motes_own_client_is_taken_at_its_word() {
    let host = Host::default();
    let (endpoint, key) = serve(&host).await;
    let client = |secret: &str| {
        let signer = Signer::new(key.access_key_id.clone(), secret.to_owned(), "eu-central-1".to_owned());
        Client::tcp(&endpoint, signer)
    };
    let known = client(&key.secret_access_key);
    let clusters: Value = known.ecs("ListClusters", &json!({})).await.unwrap();
    assert_eq!(clusters["clusterArns"].as_array().unwrap().len(), 1);
    assert_eq!(known.tasks().await.unwrap(), []);
    let refused = known.load(&b"an archive"[..], None, |_| ()).await.unwrap_err();
    assert!(refused.to_string().contains("unix socket"), "{refused}");
    let stranger = client("another secret");
    let refused = stranger.tasks().await.unwrap_err();
    assert!(
        refused.to_string().contains("does not match the signature"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_and_the_aws_command_line_get_what_they_ask_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let host = Host::default();
    let (endpoint, key) = serve(&host).await;
    let endpoint = format!("http://{endpoint}");

    let made = Command::new(root.join("scripts/clients.sh")).output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let python = Path::new(String::from_utf8(made.stdout).unwrap().trim()).join("bin/python");
    let checked = Command::new(python)
        .arg(root.join("tests/ecs/clients.py"))
        .arg(&endpoint)
        .env("AWS_ACCESS_KEY_ID", &key.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &key.secret_access_key)
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .output()
        .await
        .unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        checked.status.success(),
        "{}{}",
        said(&checked.stdout),
        said(&checked.stderr)
    );
}
