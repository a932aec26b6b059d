//! The `Authorization` header.

use api::ecs::error::{EcsError, ErrorKind};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::{ALGORITHM, TERMINATOR, incomplete};

/// The longest header.
const HEADER_LEN_MAX: usize = 4096;

/// The most headers that a request may sign.
const SIGNED_HEADERS_MAX: usize = 64;

/// A signature, as a request carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key that it was made with.
    pub key: String,
    /// The day of the key's scope: `20261122`.
    pub date: String,
    /// The region of the key's scope.
    pub region: String,
    /// The service of the key's scope: `ecs`.
    pub service: String,
    /// The names of the headers that were signed, in lower case and in order.
    pub signed_headers: Vec<String>,
    /// 64 hexadecimal digits.
    pub signature: String,
}

/// The signature that a request carries.
///
/// # Errors
/// Where it carries none, or none of this kind.
pub fn parse(headers: &HeaderMap) -> Result<Signature, EcsError> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        return Err(EcsError::new(
            ErrorKind::MissingAuthenticationToken,
            "Missing Authentication Token",
        ));
    };
    let text = header.to_str().ok().filter(|text| text.len() <= HEADER_LEN_MAX);
    let text = text.ok_or_else(|| incomplete("The Authorization header is too long or has strange characters."))?;
    parse_text(text)
}

fn parse_text(text: &str) -> Result<Signature, EcsError> {
    let rest = text.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' '));
    let rest = rest.ok_or_else(|| incomplete(format!("The Authorization header has to begin with {ALGORITHM}.")))?;
    let part = |name: &str| {
        let mut parts = rest.split(',').map(str::trim);
        let found = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.ok_or_else(|| incomplete(format!("Authorization header requires '{name}' parameter.")))
    };
    let credential: Vec<&str> = part("Credential")?.split('/').collect();
    let &[key, date, region, service, TERMINATOR] = credential.as_slice() else {
        return Err(incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/aws4_request.",
        ));
    };
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if ![key, date, region, service].into_iter().all(is_word) {
        return Err(incomplete(
            "Credential has an element that is empty or has strange characters.",
        ));
    }
    let signed_headers: Vec<String> = part("SignedHeaders")?.split(';').map(str::to_owned).collect();
    let is_in_order = signed_headers.is_sorted_by(|before, after| before < after);
    let is_lower = |name: &String| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    if signed_headers.len() > SIGNED_HEADERS_MAX || !is_in_order || !signed_headers.iter().all(is_lower) {
        return Err(incomplete(
            "SignedHeaders has to have names in lower case, in order, each once.",
        ));
    }
    let owned = str::to_owned;
    Ok(Signature {
        key: owned(key),
        date: owned(date),
        region: owned(region),
        service: owned(service),
        signed_headers,
        signature: owned(part("Signature")?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_of_the_command_line_is_read() {
        let text = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/ecs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
                    Signature=27995fc1";
        let signature = parse_text(text).unwrap();
        assert_eq!(
            (
                signature.key.as_str(),
                signature.region.as_str(),
                signature.service.as_str()
            ),
            ("AKIDEXAMPLE", "us-east-1", "ecs")
        );
        assert_eq!(signature.signed_headers.len(), 4);
        assert_eq!(signature.signature, "27995fc1");
    }

    #[test]
    fn what_is_missing_is_named() {
        let kind = |text: &str| parse_text(text).unwrap_err().kind;
        for text in [
            "Bearer x",
            "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=a",
            "AWS4-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=a",
            "AWS4-HMAC-SHA256 Credential=a/20261122/r/ecs/aws4_request, SignedHeaders=x;host, Signature=a",
            "AWS4-HMAC-SHA256 Credential=a/20261122/r/ecs/aws4_request, SignedHeaders=host",
        ] {
            assert_eq!(kind(text), ErrorKind::IncompleteSignature, "{text}");
        }
        assert_eq!(
            parse(&HeaderMap::new()).unwrap_err().kind,
            ErrorKind::MissingAuthenticationToken
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".{0,200}") {
            let _ = parse_text(&text);
            let _ = parse_text(&format!("AWS4-HMAC-SHA256 {text}"));
        }
    }
}
