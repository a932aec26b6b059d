//! The text of a request that was signed.

use std::fmt::Write;

use api::ecs::error::EcsError;
use api::sigv4::BODY_HASH_HEADER;

use super::{DATE_HEADER, Signature, Signed, incomplete, invalid};

/// The canonical form of a request whose body has this digest.
///
/// # Errors
/// Where a header is not signed that has to be, or is signed and not there.
pub fn request(request: Signed<'_>, signature: &Signature, body: &str) -> Result<String, EcsError> {
    check_signed(request, signature)?;
    let mut headers = String::new();
    for name in &signature.signed_headers {
        let mut values = Vec::new();
        for value in request.headers.get_all(name) {
            let text = value
                .to_str()
                .map_err(|_| incomplete(format!("The header {name} has strange characters.")))?;
            // Runs of spaces count as one.
            values.push(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        }
        if values.is_empty() {
            return Err(invalid(format!("The header {name} was signed and is not there.")));
        }
        // Writing to a string cannot fail.
        let _ = writeln!(headers, "{name}:{}", values.join(","));
    }
    let method = request.method.as_str();
    let (path, query) = (
        path(request.uri.path())?,
        query(request.uri.query().unwrap_or_default()),
    );
    let names = signature.signed_headers.join(";");
    Ok(format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{body}"))
}

/// What says where a request goes, when and what it wants has to be signed.
fn check_signed(request: Signed<'_>, signature: &Signature) -> Result<(), EcsError> {
    let is_signed = |name: &str| signature.signed_headers.iter().any(|signed| signed == name);
    let there = request.headers.keys().map(axum::http::HeaderName::as_str);
    let amazons = there.filter(|name| name.starts_with("x-amz-") && *name != BODY_HASH_HEADER);
    let mut needed = ["host", DATE_HEADER].into_iter().chain(amazons);
    match needed.find(|name| !is_signed(name)) {
        Some(name) => Err(invalid(format!("'{name}' has to be among the SignedHeaders."))),
        None => Ok(()),
    }
}

/// The path, encoded once more than it came (as all services but S3 have it).
fn path(path: &str) -> Result<String, EcsError> {
    if path.split('/').any(|part| matches!(part, "." | "..")) || path.contains("//") {
        return Err(invalid("The path has to be without '.', '..' and empty parts."));
    }
    let mut encoded = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Ok(encoded)
}

/// The query's parameters in order.
fn query(query: &str) -> String {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let mut parameters: Vec<(&str, &str)> = parameters
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
        .collect();
    parameters.sort_unstable();
    parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("&")
}
