//! The real clients, boto3 and the AWS command line, against the calls over TCP on a core that stores tasks and runs none.

use std::path::Path;
use std::sync::Arc;

use axum::middleware;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::{Aws, Gate, guard};
use crate::credentials::Credentials;
use crate::ecs::fake::Host;
use crate::logs::Logs;
use crate::logs::cloudwatch::CloudWatch;
use crate::secrets::seal::Seal;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_and_the_aws_command_line_get_what_they_ask_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let host = Host::default();
    let directory = tempfile::tempdir().unwrap();
    let seal = Arc::new(Seal::open(&directory.path().join("secret.key")).unwrap());
    let credentials = Credentials::open(host.ecs.store().clone(), seal).unwrap();
    let key = credentials.list().unwrap().remove(0);
    let logs = CloudWatch::new(
        Logs::new(directory.path().join("logs"), 1 << 20),
        "eu-central-1".to_owned(),
    );
    let router = Aws::new(host.ecs.clone(), logs).router();
    let router = router.layer(middleware::from_fn_with_state(Gate::new(credentials), guard));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });

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
