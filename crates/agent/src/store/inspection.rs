//! What a file is, before it is opened for writing: so that one that cannot be used is left as it is.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use super::schema::{APPLICATION_ID, VERSION};

/// What every SQLite database begins with (file format, 1.3).
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Where the header has the version that [`VERSION`] is compared with.
const VERSION_OFFSET: usize = 60;

/// Where the header has the number that says whose database it is.
const APPLICATION_OFFSET: usize = 68;

/// The header's length.
const HEADER_LEN: usize = 100;

/// A larger file is checked only as far as it is used: to read all of it would hold up every start.
const CHECKED_LEN_MAX: u64 = 64 << 20;

/// Checks that the file at `path` is absent, empty or a database that can be used.
///
/// # Errors
/// What it is otherwise. It was not written to.
pub fn inspect(path: &Path) -> Result<(), StoreError> {
    let read = |source| StoreError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(read)?,
    };
    let len = file.metadata().map_err(read)?.len();
    if len == 0 {
        return Ok(());
    }
    let mut header = [0; HEADER_LEN];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(foreign(path)),
        done => done.map_err(read)?,
    }
    check_header(path, &header)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    check_pages(path, len, || Connection::open_with_flags(path, flags))
}

fn check_header(path: &Path, header: &[u8; HEADER_LEN]) -> Result<(), StoreError> {
    let number = |offset: usize| {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&header[offset..offset + 4]);
        u32::from_be_bytes(bytes)
    };
    // A database that was being made when its host agent died has no application yet, and nothing in it.
    let (application, found) = (number(APPLICATION_OFFSET), number(VERSION_OFFSET));
    let is_unfinished = application == 0 && found == 0;
    if header[..MAGIC.len()] != MAGIC[..] || (application != APPLICATION_ID && !is_unfinished) {
        return Err(foreign(path));
    }
    if found > VERSION {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: VERSION,
        });
    }
    Ok(())
}

fn check_pages(path: &Path, len: u64, open: impl FnOnce() -> rusqlite::Result<Connection>) -> Result<(), StoreError> {
    let check = || {
        let connection = open()?;
        // Reads the first page and, after a death, the log.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        if len > CHECKED_LEN_MAX {
            return Ok("ok".to_owned());
        }
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
    };
    let said: String = check().map_err(|source| StoreError::open(path, source))?;
    if said == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged {
        path: path.to_owned(),
        details: said.replace('\n', " "),
    })
}

fn foreign(path: &Path) -> StoreError {
    StoreError::Foreign { path: path.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Store;
    use super::*;

    fn refused(path: &Path) -> StoreError {
        let before = fs::read(path).unwrap();
        let error = Store::open(path).err().expect("it must be refused");
        assert_eq!(fs::read(path).unwrap(), before, "the file was changed");
        error
    }

    fn made(directory: &tempfile::TempDir) -> std::path::PathBuf {
        let path = directory.path().join("mote.db");
        drop(Store::open(&path).unwrap());
        path
    }

    #[test]
    fn a_newer_database_is_refused_and_untouched() {
        let directory = tempfile::tempdir().unwrap();
        let path = made(&directory);
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(connection);
        assert!(matches!(refused(&path), StoreError::Newer { .. }));
    }

    #[test]
    fn a_damaged_database_is_refused_and_untouched() {
        let directory = tempfile::tempdir().unwrap();
        let path = made(&directory);
        let mut bytes = fs::read(&path).unwrap();
        // The pages behind the first one: roots of tables.
        for byte in &mut bytes[4096..] {
            *byte ^= 0x5a;
        }
        fs::write(&path, bytes).unwrap();
        assert!(matches!(refused(&path), StoreError::Damaged { .. }));
    }

    #[test]
    fn a_truncated_database_is_refused_and_untouched() {
        let directory = tempfile::tempdir().unwrap();
        let path = made(&directory);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(refused(&path), StoreError::Damaged { .. }));
        fs::write(&path, &bytes[..50]).unwrap();
        assert!(matches!(refused(&path), StoreError::Foreign { .. }));
    }

    #[test]
    fn what_is_no_database_of_ours_is_refused_and_untouched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mote.db");
        fs::write(&path, [b'x'; 5000]).unwrap();
        assert!(matches!(refused(&path), StoreError::Foreign { .. }));
        fs::remove_file(&path).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "application_id", 7).unwrap();
        drop(connection);
        assert!(matches!(refused(&path), StoreError::Foreign { .. }));
    }
}
