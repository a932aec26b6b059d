//! Single facts, and the settings of the account.

use rusqlite::OptionalExtension;

use super::{Durability, Store, StoreError};

/// The fact that tells a host that was rebooted.
const BOOT_ID: &str = "boot-id";

impl Store {
    /// Notes the host's boot id; whether it is another one than before, that is, whether the host was rebooted.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn note_boot(&self, boot_id: &str) -> Result<bool, StoreError> {
        self.write(Durability::Quick, "note the host's boot id", |connection| {
            let before: Option<String> = connection
                .query_row("SELECT value FROM facts WHERE name = ?1", [BOOT_ID], |row| row.get(0))
                .optional()?;
            connection.execute(
                "INSERT INTO facts (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                [BOOT_ID, boot_id],
            )?;
            Ok(before.is_some_and(|before| before != boot_id))
        })
    }

    /// The account's settings that were changed: name and value.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn account_settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.read("read the account's settings", |connection| {
            let mut statement = connection.prepare_cached("SELECT name, value FROM account_settings ORDER BY name")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Changes a setting of the account, or takes its change back.
    ///
    /// # Errors
    /// [`StoreError::Failed`]
    pub fn set_account_setting(&self, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        self.write(Durability::Durable, "change a setting of the account", |connection| {
            match value {
                Some(value) => connection.execute(
                    "INSERT INTO account_settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    [name, value],
                )?,
                None => connection.execute("DELETE FROM account_settings WHERE name = ?1", [name])?,
            };
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_boot_id_is_a_reboot() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("mote.db")).unwrap();
        assert!(!store.note_boot("a").unwrap());
        assert!(!store.note_boot("a").unwrap());
        assert!(store.note_boot("b").unwrap());
    }
}
