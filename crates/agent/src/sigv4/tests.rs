//! Requests that botocore signed, and what becomes of them when something is changed.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use api::ecs::error::ErrorKind;

use super::{Signed, parse, verify};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// 2026-11-22, 07:43:27.
const SIGNED_AT_MS: u64 = 1_795_333_407_000;

struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    fn new(method: Method, uri: &str, headers: &[(&'static str, &'static str)], body: &str) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Self {
            method,
            uri: uri.parse().unwrap(),
            headers: headers.collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn check(&self, secret: &str, service: &str, now_ms: u64) -> Result<(), ErrorKind> {
        let signed = Signed {
            method: &self.method,
            uri: &self.uri,
            headers: &self.headers,
            body: &self.body,
        };
        let signature = parse(&self.headers).map_err(|error| error.kind)?;
        verify(signed, &signature, secret, service, now_ms).map_err(|error| error.kind)
    }
}

fn list_tasks() -> Request {
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/ecs/aws4_request, \
                         SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
                         Signature=51b2c49652f4684893d8fe90b7a64fc79277f17efb1fd983a813fd963c861cdc";
    let headers = [
        ("host", "127.0.0.1:7711"),
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-date", "20261122T074327Z"),
        ("x-amz-target", "AmazonEC2ContainerServiceV20141113.ListTasks"),
        ("authorization", authorization),
    ];
    Request::new(Method::POST, "/", &headers, r#"{"cluster": "default"}"#)
}

fn read_logs() -> Request {
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/eu-west-1/mote/aws4_request, SignedHeaders=host;x-amz-date;x-amz-meta, \
                         Signature=97f46153b9df1e249ae6ea4a0e11444253cde2ceb4c2691356ca0b30813474c7";
    let headers = [
        ("host", "127.0.0.1:7711"),
        ("x-amz-date", "20261122T074327Z"),
        ("x-amz-meta", "  two   words "),
        ("authorization", authorization),
    ];
    Request::new(
        Method::GET,
        "/v1/tasks/a%20b/logs?tail=5&container=web&a=%2F",
        &headers,
        "",
    )
}

#[test]
fn what_botocore_signed_is_accepted() {
    assert_eq!(list_tasks().check(SECRET, "ecs", SIGNED_AT_MS), Ok(()));
    assert_eq!(read_logs().check(SECRET, "mote", SIGNED_AT_MS), Ok(()));
}

#[test]
fn another_secret_body_path_method_or_header_is_refused() {
    let refused = Err(ErrorKind::InvalidSignature);
    assert_eq!(list_tasks().check("another", "ecs", SIGNED_AT_MS), refused);
    let change = |change: fn(&mut Request)| {
        let mut request = list_tasks();
        change(&mut request);
        request.check(SECRET, "ecs", SIGNED_AT_MS)
    };
    assert_eq!(change(|request| request.body = b"{}".to_vec()), refused);
    assert_eq!(change(|request| request.uri = "/?a=b".parse().unwrap()), refused);
    assert_eq!(change(|request| request.uri = "/v1/tasks".parse().unwrap()), refused);
    assert_eq!(change(|request| request.method = Method::PUT), refused);
    let target = HeaderValue::from_static("AmazonEC2ContainerServiceV20141113.StopTask");
    assert_eq!(change(|request| drop(request.headers.remove("x-amz-target"))), refused);
    let mut request = list_tasks();
    request.headers.insert("x-amz-target", target);
    assert_eq!(request.check(SECRET, "ecs", SIGNED_AT_MS), refused);
    // What says what is wanted cannot be added beside the signature.
    let mut request = read_logs();
    request
        .headers
        .insert("x-amz-target", HeaderValue::from_static("Logs_20140328.DeleteLogGroup"));
    assert_eq!(request.check(SECRET, "mote", SIGNED_AT_MS), refused);
}

#[test]
fn another_time_scope_or_session_is_refused() {
    let refused = Err(ErrorKind::InvalidSignature);
    let minute = 60_000;
    assert_eq!(list_tasks().check(SECRET, "ecs", SIGNED_AT_MS + 5 * minute), Ok(()));
    assert_eq!(list_tasks().check(SECRET, "ecs", SIGNED_AT_MS + 6 * minute), refused);
    assert_eq!(list_tasks().check(SECRET, "ecs", SIGNED_AT_MS - 6 * minute), refused);
    assert_eq!(list_tasks().check(SECRET, "logs", SIGNED_AT_MS), refused);
    let mut request = list_tasks();
    request.headers.remove("x-amz-date");
    assert_eq!(
        request.check(SECRET, "ecs", SIGNED_AT_MS),
        Err(ErrorKind::IncompleteSignature)
    );
    let mut request = list_tasks();
    request
        .headers
        .insert("x-amz-security-token", HeaderValue::from_static("t"));
    assert_eq!(
        request.check(SECRET, "ecs", SIGNED_AT_MS),
        Err(ErrorKind::UnrecognizedClient)
    );
}
