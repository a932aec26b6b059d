//! One file for all inputs: to make a new one for each takes longer than most parsers do.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::sync::LazyLock;

static SCRATCH: LazyLock<io::Result<File>> = LazyLock::new(tempfile::tempfile);

/// The file, open for reading and writing, with `bytes` in it and nothing else. The one before is gone.
pub fn file(bytes: &[u8]) -> io::Result<File> {
    let scratch = SCRATCH.as_ref().map_err(|error| io::Error::from(error.kind()))?;
    let mut file = scratch.try_clone()?;
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
