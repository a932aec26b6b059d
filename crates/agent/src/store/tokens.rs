//! Client tokens: the same token with the same request means the same resources.

use rusqlite::OptionalExtension;

use super::{Durability, Store, StoreError, to_integer, to_text};

/// How long a token is remembered, in milliseconds: a day.
pub const TOKEN_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Digest of the request that it came with first.
    pub digest: String,
    /// The ids of what the request made.
    pub resources: Vec<String>,
    /// Whether all of that was made. If not, the host agent died meanwhile: who asks again has it made now.
    pub is_complete: bool,
}

impl Store {
    /// Notes that a token of an operation came with a request that is about to make something, and what of that is known, and forgets tokens that are too old.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn begin_token(
        &self,
        operation: &str,
        token: &str,
        digest: &str,
        resources: &[String],
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.write(Durability::Quick, "note a client token", |connection| {
            connection
                .prepare_cached("DELETE FROM client_tokens WHERE created_ms < ?1")?
                .execute([to_integer(now_ms.saturating_sub(TOKEN_KEPT_MS))])?;
            connection
                .prepare_cached(
                    "INSERT INTO client_tokens (operation, token, digest, resources, is_complete, created_ms) VALUES (?1, ?2, ?3, ?4, 0, ?5)",
                )?
                .execute((operation, token, digest, to_text(&resources)?, to_integer(now_ms)))?;
            Ok(())
        })
    }

    /// Notes that these resources are all that a token stands for, or, where [`None`], forgets the token.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn end_token(&self, operation: &str, token: &str, resources: Option<&[String]>) -> Result<(), StoreError> {
        self.write(Durability::Quick, "note a client token", |connection| {
            match resources {
                Some(resources) => connection
                    .prepare_cached(
                        "UPDATE client_tokens SET is_complete = 1, resources = ?3 WHERE operation = ?1 AND token = ?2",
                    )?
                    .execute((operation, token, to_text(&resources)?))?,
                None => connection
                    .prepare_cached("DELETE FROM client_tokens WHERE operation = ?1 AND token = ?2")?
                    .execute([operation, token])?,
            };
            Ok(())
        })
    }

    /// What is known of a token of an operation.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Record`]
    pub fn token(&self, operation: &str, token: &str, now_ms: u64) -> Result<Option<Token>, StoreError> {
        self.read("look for a client token", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT digest, resources, is_complete FROM client_tokens WHERE operation = ?1 AND token = ?2 AND created_ms >= ?3",
            )?;
            let since = to_integer(now_ms.saturating_sub(TOKEN_KEPT_MS));
            let row = statement.query_row((operation, token, since), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
            let row: Option<(String, String, bool)> = row.optional()?;
            let Some((digest, resources, is_complete)) = row else {
                return Ok(None);
            };
            let resources = serde_json::from_str(&resources)?;
            Ok(Some(Token { digest, resources, is_complete }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_remembered_for_a_day() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("mote.db")).unwrap();
        let ids = ["a".to_owned()];
        store.begin_token("RunTask", "t", "d", &ids, 0).unwrap();
        let known = store.token("RunTask", "t", TOKEN_KEPT_MS).unwrap().unwrap();
        assert_eq!(
            known,
            Token {
                digest: "d".to_owned(),
                resources: ids.to_vec(),
                is_complete: false
            }
        );
        store.end_token("RunTask", "t", Some(&ids)).unwrap();
        assert!(store.token("RunTask", "t", 0).unwrap().unwrap().is_complete);
        assert_eq!(store.token("CreateService", "t", 0).unwrap(), None);
        assert_eq!(store.token("RunTask", "t", TOKEN_KEPT_MS + 1).unwrap(), None);
        store
            .begin_token("RunTask", "t", "other", &ids, TOKEN_KEPT_MS + 1)
            .unwrap();
        store.end_token("RunTask", "t", None).unwrap();
        assert_eq!(store.token("RunTask", "t", TOKEN_KEPT_MS + 1).unwrap(), None);
    }
}
