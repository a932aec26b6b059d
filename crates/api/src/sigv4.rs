//! AWS's signature version 4: what is signed, and by which key. For those who sign and those who check.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The algorithm's name, in the `Authorization` header and in what is signed.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// In place of a body's hash, where the body is not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The header that says what was signed of the body: its [`hash`], or [`UNSIGNED_PAYLOAD`].
pub const BODY_HASH_HEADER: &str = "x-amz-content-sha256";

/// Bytes of a block of SHA-256.
const BLOCK_LEN: usize = 64;

/// A request, as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The path, as it is sent: percent-encoded.
    pub path: &'a str,
    /// The query, as it is sent, without its question mark.
    pub query: &'a str,
    /// The headers that are signed: names in lower case, sorted, each with its value.
    pub headers: &'a [(&'a str, &'a str)],
    /// [`hash`] of the body, or [`UNSIGNED_PAYLOAD`].
    pub body_hash: &'a str,
}

/// Where and when a signature holds.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// When it was made: `20261122T074327Z`. Its first eight characters are the day that the signature holds for.
    pub time: &'a str,
    /// The region: `us-east-1`.
    pub region: &'a str,
    /// The service: `ecs`.
    pub service: &'a str,
}

impl Scope<'_> {
    /// The day, region and service, as they stand behind the access key's id.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.day(), self.region, self.service)
    }

    fn day(&self) -> &str {
        self.time.get(..8).unwrap_or(self.time)
    }
}

/// The signature of a request, in hexadecimal digits.
#[must_use]
pub fn signature(request: &Request<'_>, scope: &Scope<'_>, secret: &str) -> String {
    let text = format!(
        "{ALGORITHM}\n{}\n{}\n{}",
        scope.time,
        scope.text(),
        hash(canonical(request).as_bytes())
    );
    let mut key = mac(format!("AWS4{secret}").as_bytes(), scope.day().as_bytes());
    for part in [scope.region, scope.service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    hexadecimal(&mac(&key, text.as_bytes()))
}

/// The `Authorization` header of a request.
#[must_use]
pub fn authorization(request: &Request<'_>, scope: &Scope<'_>, id: &str, secret: &str) -> String {
    format!(
        "{ALGORITHM} Credential={id}/{}, SignedHeaders={}, Signature={}",
        scope.text(),
        signed_headers(request),
        signature(request, scope, secret)
    )
}

/// SHA-256, in hexadecimal digits.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// A moment, in milliseconds since the Unix epoch, as signatures have it.
#[must_use]
pub fn time(unix_ms: u64) -> String {
    let text = crate::calendar::rfc3339(unix_ms);
    let seconds = text.split('.').next().unwrap_or_default();
    let mut text: String = seconds.chars().filter(|character| !"-:".contains(*character)).collect();
    text.push('Z');
    text
}

/// The request in its one form.
fn canonical(request: &Request<'_>) -> String {
    let mut text = format!(
        "{}\n{}\n{}\n",
        request.method,
        canonical_path(request.path),
        canonical_query(request.query)
    );
    for (name, value) in request.headers {
        // Runs of white space are one space.
        let words: Vec<_> = value.split_whitespace().collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}:{}", words.join(" "));
    }
    let _ = write!(text, "\n{}\n{}", signed_headers(request), request.body_hash);
    text
}

fn signed_headers(request: &Request<'_>) -> String {
    let names: Vec<_> = request.headers.iter().map(|(name, _)| *name).collect();
    names.join(";")
}

/// Each segment percent-encoded once more, as all services but S3 have it.
fn canonical_path(path: &str) -> String {
    if path.is_empty() {
        return "/".to_owned();
    }
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The parameters sorted, each with an equals sign.
fn canonical_query(query: &str) -> String {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let mut parameters: Vec<_> = parameters
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .collect();
    parameters.sort_unstable();
    let parameters: Vec<_> = (parameters.iter())
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    parameters.join("&")
}

/// HMAC (RFC 2104) with SHA-256.
fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    // A key is filled up with zeros to a block, and hashed first where it is longer than one.
    let mut block = [0; BLOCK_LEN];
    if key.len() > BLOCK_LEN {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut mac = Hmac::<Sha256>::new((&block).into());
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key that AWS's documentation signs its examples with.
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    const SCOPE: Scope<'_> = Scope {
        time: "20150830T123600Z",
        region: "us-east-1",
        service: "service",
    };

    fn get<'a>(path: &'a str, query: &'a str, body_hash: &'a str) -> Request<'a> {
        Request {
            method: "GET",
            path,
            query,
            headers: &[("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")],
            body_hash,
        }
    }

    #[test]
    fn the_first_example_of_aws_has_its_signature() {
        let empty = hash(b"");
        assert_eq!(
            signature(&get("/", "", &empty), &SCOPE, SECRET),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    #[test]
    fn parameters_are_sorted() {
        let empty = hash(b"");
        assert_eq!(
            signature(&get("/", "Param2=value2&Param1=value1", &empty), &SCOPE, SECRET),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
    }

    #[test]
    fn a_path_is_encoded_once_more() {
        assert_eq!(canonical_path("/v1/images/a%3Ab"), "/v1/images/a%253Ab");
        assert_eq!(canonical_path(""), "/");
    }

    #[test]
    fn the_header_names_all_that_a_check_needs() {
        let empty = hash(b"");
        let header = authorization(&get("/", "", &empty), &SCOPE, "AKIDEXAMPLE", SECRET);
        assert_eq!(
            header,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    #[test]
    fn a_moment_has_no_punctuation() {
        assert_eq!(time(1_795_341_600_250), "20261122T100000Z");
    }

    #[test]
    fn a_long_key_is_hashed_first() {
        // RFC 4231, test case 6.
        let found = mac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(
            hexadecimal(&found),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
