//! The calls of Amazon ECS's protocol.

use hyper::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::body::Outgoing;
use super::{Client, ClientError, answer, read_whole};
use crate::ecs::TARGET_PREFIX;
use crate::route;

/// A refusal in the way of AWS's JSON protocols.
#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(default, alias = "Message")]
    message: String,
}

impl Client {
    /// Calls an operation of Amazon ECS's.
    ///
    /// # Errors
    /// [`ClientError::Aws`] where it is refused; [`ClientError`].
    pub async fn ecs<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = Outgoing::aws(format!("{TARGET_PREFIX}{operation}"), request);
        let response = self.send_any(Method::POST, route::AWS, body).await?;
        let status = response.status();
        let bytes = read_whole(operation, response).await?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&bytes).map_err(|error| answer(operation, &error.to_string()));
        }
        Err(refusal(&bytes).unwrap_or_else(|| answer(operation, status.as_str())))
    }
}

fn refusal(bytes: &[u8]) -> Option<ClientError> {
    let Refusal { kind, message } = serde_json::from_slice(bytes).ok()?;
    // A name space may come before the kind.
    let kind = kind.rsplit('#').next().unwrap_or_default().to_owned();
    let message = if message.is_empty() { kind.clone() } else { message };
    Some(ClientError::Aws { kind, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, expected: Option<(&str, &str)>) {
        let found = refusal(document.as_bytes()).map(|error| match error {
            ClientError::Aws { kind, message } => (kind, message),
            other => panic!("{other}"),
        });
        assert_eq!(
            found,
            expected.map(|(kind, message)| (kind.to_owned(), message.to_owned()))
        );
    }

    #[test]
    fn a_refusal_has_a_kind_and_a_sentence() {
        check(
            r#"{"__type":"ClientException","message":"no"}"#,
            Some(("ClientException", "no")),
        );
        check(
            r#"{"__type":"com.amazonaws.ecs#ServerException"}"#,
            Some(("ServerException", "ServerException")),
        );
        check(r#"{"Message":"no"}"#, None);
        check("", None);
    }
}
