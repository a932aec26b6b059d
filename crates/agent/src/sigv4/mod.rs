//! AWS Signature Version 4: whether a request was signed with the secret of the key that it names.
//!
//! [`parse`] reads the `Authorization` header, [`canonical`] makes the text that was signed, [`verify`] compares. Pure: the time is an argument.

mod canonical;
mod date;
mod parse;
#[cfg(test)]
mod tests;

use api::ecs::error::{EcsError, ErrorKind};
use api::sigv4::BODY_HASH_HEADER;
use axum::http::{HeaderMap, Method, Uri};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use parse::{Signature, parse};

/// The algorithm, as requests name it.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What ends a key's scope.
const TERMINATOR: &str = "aws4_request";

/// How far a request's clock may be from ours, in milliseconds.
const SKEW_MAX_MS: u64 = 5 * 60 * 1000;

/// When the request was signed, in UTC: `20261122T074327Z`.
const DATE_HEADER: &str = "x-amz-date";

/// A token of a session, which this host has none of.
const SESSION_HEADER: &str = "x-amz-security-token";

/// A request, as far as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path and query.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, all of it.
    pub body: &'a [u8],
}

/// Checks that `request` was signed for `service`, with `secret`, within five minutes of `now_ms`.
///
/// # Errors
/// As AWS gives them.
pub fn verify(
    request: Signed<'_>,
    signature: &Signature,
    secret: &str,
    service: &str,
    now_ms: u64,
) -> Result<(), EcsError> {
    if signature.service != service {
        return Err(invalid(format!(
            "Credential should be scoped to correct service: '{service}'. "
        )));
    }
    let signed_at = check_date(request.headers, signature, now_ms)?;
    let body = hex(&Sha256::digest(request.body));
    check_body(request.headers, &body)?;
    let canonical = canonical::request(request, signature, &body)?;
    let scope = format!(
        "{}/{}/{}/{TERMINATOR}",
        signature.date, signature.region, signature.service
    );
    let text = format!(
        "{ALGORITHM}\n{signed_at}\n{scope}\n{}",
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let mut key = mac(format!("AWS4{secret}").as_bytes(), &signature.date);
    for part in [&signature.region, &signature.service, TERMINATOR] {
        key = mac(&key, part);
    }
    let wanted = hex(&mac(&key, &text));
    if bool::from(wanted.as_bytes().ct_eq(signature.signature.as_bytes())) {
        return Ok(());
    }
    Err(invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. \
         Consult the service documentation for details.",
    ))
}

/// The time that the request says, where it is near ours and in the key's scope.
fn check_date<'a>(headers: &'a HeaderMap, signature: &Signature, now_ms: u64) -> Result<&'a str, EcsError> {
    let signed_at = headers.get(DATE_HEADER).and_then(|value| value.to_str().ok());
    let signed_at =
        signed_at.ok_or_else(|| incomplete("Authorization header requires existence of an 'X-Amz-Date' header."))?;
    let time_ms = date::parse(signed_at).ok_or_else(|| incomplete("Date must be in ISO-8601 'basic format'."))?;
    if !signed_at.starts_with(&signature.date) {
        return Err(invalid(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.",
        ));
    }
    if time_ms.saturating_add(SKEW_MAX_MS) < now_ms {
        return Err(invalid(format!(
            "Signature expired: {signed_at} is more than 5 minutes ago."
        )));
    }
    if time_ms > now_ms.saturating_add(SKEW_MAX_MS) {
        return Err(invalid(format!(
            "Signature not yet current: {signed_at} is more than 5 minutes ahead."
        )));
    }
    if headers.contains_key(SESSION_HEADER) {
        return Err(unrecognized());
    }
    Ok(signed_at)
}

fn check_body(headers: &HeaderMap, digest: &str) -> Result<(), EcsError> {
    match headers.get(BODY_HASH_HEADER) {
        Some(said) if said.as_bytes() != digest.as_bytes() => Err(invalid(
            "The provided x-amz-content-sha256 header does not match what was computed.",
        )),
        _ => Ok(()),
    }
}

/// There is no such key.
#[must_use]
pub fn unrecognized() -> EcsError {
    EcsError::new(
        ErrorKind::UnrecognizedClient,
        "The security token included in the request is invalid.",
    )
}

fn invalid(message: impl Into<String>) -> EcsError {
    EcsError::new(ErrorKind::InvalidSignature, message)
}

fn incomplete(message: impl Into<String>) -> EcsError {
    EcsError::new(ErrorKind::IncompleteSignature, message)
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
