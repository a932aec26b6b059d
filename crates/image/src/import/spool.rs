//! An archive that comes as a stream, put into a file that has no name: it is gone with its last user, whatever happens.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{ImportError, blocking};
use crate::decompress::{self, Compression};
use crate::store::Inner;

/// Read size from the stream and from the decompressor.
const BUFFER_LEN: usize = 256 << 10;

/// Writes the stream to a nameless file in the store's `tmp`.
pub(super) async fn spool(inner: &Inner, mut stream: impl AsyncRead + Send + Unpin) -> Result<File, ImportError> {
    let bytes_max = inner.limits.stream_bytes;
    let mut file = nameless(inner)?;
    let mut buffer = vec![0; BUFFER_LEN];
    let mut spooled_bytes = 0;
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match stream.read(&mut buffer[filled..]).await.map_err(ImportError::Stream)? {
                0 => break,
                count => filled += count,
            }
        }
        let is_end = filled < buffer.len();
        spooled_bytes += filled as u64;
        if spooled_bytes > bytes_max {
            return Err(ImportError::ArchiveTooLarge { bytes_max });
        }
        let write = move || (file.write_all(&buffer[..filled]), file, buffer);
        let result;
        (result, file, buffer) = blocking(write).await?;
        result.map_err(inner.files.failed("write to", &inner.files.tmp()))?;
        if is_end {
            return Ok(file);
        }
    }
}

/// The archive itself if it is not compressed, else what it decompresses to, in a nameless file too.
pub(super) fn decompress(inner: &Inner, mut archive: File) -> Result<File, ImportError> {
    archive.rewind().map_err(ImportError::Stream)?;
    let mut plain = decompress::open(&archive).map_err(ImportError::ArchiveCompression)?;
    if plain.compression() == Compression::Plain {
        return Ok(archive);
    }
    let bytes_max = inner.limits.stream_bytes;
    let mut file = nameless(inner)?;
    let mut buffer = vec![0; BUFFER_LEN];
    let mut written_bytes = 0;
    loop {
        let count = match plain.read(&mut buffer) {
            Ok(0) => return Ok(file),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ImportError::ArchiveCompression(error)),
        };
        written_bytes += count as u64;
        if written_bytes > bytes_max {
            return Err(ImportError::ArchiveTooLarge { bytes_max });
        }
        file.write_all(&buffer[..count])
            .map_err(inner.files.failed("write to", &inner.files.tmp()))?;
    }
}

fn nameless(inner: &Inner) -> Result<File, ImportError> {
    let tmp = inner.files.tmp();
    Ok(tempfile::tempfile_in(&tmp).map_err(inner.files.failed("create a file in", &tmp))?)
}
