//! The outside: what is refused and how, and the streams of pulls and loads.

use api::client::ClientError;
use api::error::{ApiError, ErrorCode};
use api::image::{ImageEvent, PullRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::bench::Bench;
use super::script::Script;

/// Sends `request` as it is; the status of the answer, and its body.
async fn exchange(bench: &Bench, request: &str) -> (u16, String) {
    let mut connection = UnixStream::connect(bench.directory.path().join("mote.sock"))
        .await
        .unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

async fn check(request: &str, body: &str, status: u16, code: ErrorCode, words: &str) {
    let bench = Bench::start(&Script::empty()).await;
    let text = format!(
        "{request} HTTP/1.1\r\nHost: mote\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (answered, body) = exchange(&bench, &text).await;
    let error: ApiError = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}"));
    assert_eq!((answered, error.code), (status, code), "{error}");
    assert!(error.message.contains(words), "{error}");
    bench.finish().await;
}

#[tokio::test]
async fn every_refusal_is_a_document_with_the_right_status() {
    check("GET /v1/nothing", "", 404, ErrorCode::NoSuchRoute, "/v1/nothing").await;
    check("PUT /v1/tasks", "", 404, ErrorCode::NoSuchRoute, "PUT /v1/tasks").await;
    check("GET /v1/tasks/none", "", 404, ErrorCode::TaskNotFound, "none").await;
    check("POST /v1/tasks", "nonsense", 400, ErrorCode::InvalidParameter, "line 1").await;
    check(
        "POST /v1/tasks",
        r#"{"image":"app","vcpu_milli":1}"#,
        400,
        ErrorCode::InvalidParameter,
        "memory_mib",
    )
    .await;
    check(
        "POST /v1/images/pull",
        r#"{"turbo":1}"#,
        400,
        ErrorCode::InvalidParameter,
        "turbo",
    )
    .await;
    check(
        "POST /v1/tasks/x/stop",
        r#"{"timeout":1}"#,
        400,
        ErrorCode::InvalidParameter,
        "timeout",
    )
    .await;
    check(
        "POST /v1/images/load?nmae=x",
        "",
        400,
        ErrorCode::InvalidParameter,
        "nmae",
    )
    .await;
    check(
        "POST /v1/tasks",
        &" ".repeat(600 << 10),
        400,
        ErrorCode::InvalidParameter,
        "too large",
    )
    .await;
    check("DELETE /v1/images/none", "", 404, ErrorCode::ImageNotFound, "none").await;
}

#[tokio::test]
async fn attaching_without_an_upgrade_is_refused_and_starts_nothing() {
    let bench = Bench::start(&Script::empty()).await;
    let task = bench.client.create_task(&super::bench::request(|_| ())).await.unwrap();
    let request = format!(
        "POST /v1/tasks/{}/attach HTTP/1.1\r\nHost: mote\r\nConnection: close\r\n\r\n",
        task.id
    );
    let (status, body) = exchange(&bench, &request).await;
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("mote-attach"), "{body}");
    assert_eq!(
        bench.client.task(&task.id).await.unwrap().status,
        api::task::Status::Provisioning
    );
    bench.finish().await;
}

fn pull(reference: &str) -> PullRequest {
    PullRequest {
        reference: reference.into(),
        credentials: None,
        insecure: false,
        platform: None,
    }
}

#[tokio::test]
async fn a_pull_tells_its_steps_and_then_its_result() {
    let bench = Bench::start(&Script::empty()).await;
    let mut events = Vec::new();
    let images = bench
        .client
        .pull(&pull("app"), |event| events.push(event.clone()))
        .await
        .unwrap();
    assert_eq!(images[0].names, ["app"]);
    assert!(
        matches!(events.first(), Some(ImageEvent::Resolved { .. })),
        "{events:?}"
    );
    let error = bench.client.pull(&pull("none"), |_| ()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::ImageNotFound));
    bench.finish().await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_pull_with_it() {
    let bench = Bench::start(&Script::empty()).await;
    let mut pulls = bench.images.pulls.subscribe();
    let client = bench.client.clone();
    let puller = tokio::spawn(async move { client.pull(&pull("slow"), |_| ()).await });
    pulls.wait_for(|pulls| *pulls == 1).await.unwrap();
    puller.abort();
    pulls.wait_for(|pulls| *pulls == 0).await.unwrap();
    bench.finish().await;
}

#[tokio::test]
async fn an_archive_streams_through_and_its_name_with_it() {
    let bench = Bench::start(&Script::empty()).await;
    let archive = tokio::io::repeat(7).take(50_000_000);
    let images = bench.client.load(archive, Some("my app:1/2"), |_| ()).await.unwrap();
    assert_eq!(
        (images[0].names[0].as_str(), images[0].size_bytes),
        ("my app:1/2", 50_000_000)
    );
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_still_sends_an_archive_hears_what_came_of_it() {
    let bench = Bench::start(&Script::empty()).await;
    let load = |name| {
        let archive = tokio::io::repeat(7).take(50_000_000);
        bench.client.load(archive, Some(name), |_| ())
    };
    for _ in 0..20 {
        let error = load("refused").await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::ImageNotFound), "{error:?}");
        let images = load("short").await.unwrap();
        assert_eq!(images[0].names[0], "short");
    }
    bench.finish().await;
}

#[tokio::test]
async fn an_image_is_named_by_one_percent_encoded_segment() {
    let bench = Bench::start(&Script::empty()).await;
    bench.client.remove_image("app/with/slashes:1").await.unwrap();
    assert!(matches!(
        bench.client.remove_image("other").await,
        Err(ClientError::Api(_))
    ));
    assert_eq!(bench.client.images().await.unwrap().len(), 1);
    assert_eq!(bench.client.version().await.unwrap().version, env!("CARGO_PKG_VERSION"));
    bench.finish().await;
}
