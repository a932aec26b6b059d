//! Signs requests that go over TCP.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue, InvalidHeaderValue};

use super::body::Outgoing;
use crate::route;
use crate::sigv4::{self, BODY_HASH_HEADER, Request, Scope, UNSIGNED_PAYLOAD};

/// The header that says when.
const TIME_HEADER: &str = "x-amz-date";

/// Who signs requests.
#[derive(Clone)]
pub struct Signer {
    id: String,
    secret: String,
    region: String,
}

impl Signer {
    /// The holder of the access key `id`.
    #[must_use]
    pub const fn new(id: String, secret: String, region: String) -> Self {
        Self { id, secret, region }
    }

    /// Adds what proves who sends the request, whose other headers are all there.
    pub(super) fn sign(
        &self,
        headers: &mut HeaderMap,
        method: &str,
        path: &str,
        body: &Outgoing,
    ) -> Result<(), InvalidHeaderValue> {
        // A clock before 1970 makes a signature that nobody takes.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = sigv4::time(u64::try_from(now.as_millis()).unwrap_or_default());
        let body_hash = (body.bytes.as_ref()).map_or_else(|| UNSIGNED_PAYLOAD.to_owned(), |bytes| sigv4::hash(bytes));
        headers.insert(TIME_HEADER, HeaderValue::from_str(&time)?);
        headers.insert(BODY_HASH_HEADER, HeaderValue::from_str(&body_hash)?);
        let mut signed = Vec::new();
        for (name, value) in headers.iter() {
            let name = name.as_str();
            if name == HOST.as_str() || name == "content-type" || name.starts_with("x-amz-") {
                signed.push((name, value.to_str().unwrap_or_default()));
            }
        }
        signed.sort_unstable();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let request = Request {
            method,
            path,
            query,
            headers: &signed,
            body_hash: &body_hash,
        };
        let scope = Scope {
            time: &time,
            region: &self.region,
            service: route::service(path, body.target.as_deref().unwrap_or_default()),
        };
        let header = sigv4::authorization(&request, &scope, &self.id, &self.secret);
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&header)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_the_call_is_signed() {
        let signer = Signer::new("AKID".into(), "secret".into(), "eu-west-1".into());
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:7711"));
        let target = "Logs_20140328.FilterLogEvents";
        headers.insert("x-amz-target", HeaderValue::from_static(target));
        headers.insert("connection", HeaderValue::from_static("upgrade"));
        let body = Outgoing::aws(target.to_owned(), &1);
        signer.sign(&mut headers, "POST", "/", &body).unwrap();
        let header = headers[AUTHORIZATION].to_str().unwrap();
        assert!(header.contains("/eu-west-1/logs/aws4_request"), "{header}");
        assert!(
            header.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-target,"),
            "{header}"
        );
        assert_eq!(headers[BODY_HASH_HEADER], sigv4::hash(b"1"));
    }
}
