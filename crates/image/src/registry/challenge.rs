//! What a registry demands in `WWW-Authenticate`, and what a token server answers: a stranger's texts. Pure.

use serde::Deserialize;

/// The longest header that is looked at.
pub const CHALLENGE_LEN_MAX: usize = 8 << 10;
/// The largest answer of a token server.
pub const TOKEN_LEN_MAX: u64 = 64 << 10;

/// How a registry wants to know who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password with each request (RFC 7617).
    Basic,
    /// A token from another server (distribution's token authentication).
    Bearer {
        /// The token server's URL.
        realm: String,
        /// Whom the token is for.
        service: Option<String>,
        /// What the token is to allow.
        scope: Option<String>,
    },
}

/// Reads a `WWW-Authenticate` header: its first challenge that can be met, a token's before a password's.
#[must_use]
pub fn parse(header: &str) -> Option<Challenge> {
    if header.len() > CHALLENGE_LEN_MAX {
        return None;
    }
    let challenges = http_auth::parse_challenges(header).ok()?;
    let bearer = challenges
        .iter()
        .filter(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))
        .find_map(|challenge| {
            let parameter = |name: &str| {
                let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.to_unescaped())
            };
            Some(Challenge::Bearer {
                realm: parameter("realm")?,
                service: parameter("service"),
                scope: parameter("scope"),
            })
        });
    let basic = || {
        challenges
            .iter()
            .any(|challenge| challenge.scheme.eq_ignore_ascii_case("basic"))
            .then_some(Challenge::Basic)
    };
    bearer.or_else(basic)
}

/// Reads a token server's answer: `token`, or OAuth 2's `access_token`.
#[must_use]
pub fn parse_token(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Wire {
        token: Option<String>,
        access_token: Option<String>,
    }
    let wire: Wire = serde_json::from_slice(body).ok()?;
    wire.token.filter(|token| !token.is_empty()).or(wire.access_token)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bearer_challenge_names_its_token_server() {
        let header =
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token".into(),
            service: Some("registry.example".into()),
            scope: Some("repository:a/b:pull".into()),
        };
        assert_eq!(parse(header), Some(expected));
    }

    #[test]
    fn a_basic_challenge_is_taken_where_there_is_no_other() {
        assert_eq!(parse(r#"Basic realm="r""#), Some(Challenge::Basic));
        assert!(matches!(
            parse(r#"Basic realm="r", Bearer realm="https://a""#),
            Some(Challenge::Bearer { .. })
        ));
        assert_eq!(parse("Negotiate"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_token_has_two_names() {
        assert_eq!(parse_token(br#"{"token":"a","access_token":"b"}"#), Some("a".into()));
        assert_eq!(
            parse_token(br#"{"access_token":"b","expires_in":300}"#),
            Some("b".into())
        );
        assert_eq!(parse_token(b"{}"), None);
        assert_eq!(parse_token(b"<html>"), None);
    }

    proptest! {
        #[test]
        fn any_header_is_refused_or_read(header in "\\PC{0,80}") {
            let _ = parse(&header);
        }
    }
}
