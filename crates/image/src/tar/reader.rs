//! The stream of a tar archive: one member after another, each with its data behind it.

use std::io::{self, BufReader, Read};

use super::Timestamp;
use super::error::TarError;
use super::header::{self, BLOCK_BYTES, Block, Header};
use super::member::{self, Member, MemberKind};
use super::pax::Extended;
use super::sparse::{self, LineMap, Segment, SparseError};
use crate::limits::Limits;

/// Read size towards the decompressor: few calls, still inside the second-level cache.
const BUFFER_BYTES: usize = 128 << 10;

/// Reads an uncompressed tar stream from its start.
#[derive(Debug)]
pub struct Reader<R> {
    stream: BufReader<R>,
    limits: Limits,
    position: u64,
    /// Bytes of the current member's data that nobody has read yet.
    data_left: u64,
    /// Bytes behind the data up to the next block.
    padding: u64,
    global: Extended,
}

/// What headers in front of a member say about it.
#[derive(Default)]
struct Preamble {
    extended: Option<Extended>,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: Read> Reader<R> {
    /// Starts reading.
    pub fn new(stream: R, limits: &Limits) -> Self {
        Self {
            stream: BufReader::with_capacity(BUFFER_BYTES, stream),
            limits: limits.clone(),
            position: 0,
            data_left: 0,
            padding: 0,
            global: Extended::default(),
        }
    }

    /// The next member, or `None` at the end: two zero blocks, or the end of the stream between two members.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        self.skip(self.data_left)?;
        if !self.skip_padding()? {
            return Ok(None);
        }
        let mut preamble = Preamble::default();
        loop {
            let position = self.position;
            let Some(block) = self.read_block()? else {
                return self.end(&preamble);
            };
            let parsed = header::parse(&block).map_err(|source| TarError::Header { position, source })?;
            let Some(header) = parsed else {
                if self.read_block()?.is_some_and(|second| second != [0; BLOCK_BYTES]) {
                    return Err(TarError::LoneZeroBlock { position });
                }
                return self.end(&preamble);
            };
            match header.type_flag {
                b'x' | b'X' => preamble.extended = Some(self.read_entry_header(&header, position)?),
                b'g' => self.read_global_header(&header, position)?,
                b'L' => preamble.long_path = Some(self.read_long_text(&header, position)?),
                b'K' => preamble.long_link = Some(self.read_long_text(&header, position)?),
                _ => return self.member(&block, header, preamble, position).map(Some),
            }
        }
    }

    /// Bytes read so far. Behind [`Self::next_member`] it is where a regular member's data starts.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Fills `buffer` with the next bytes of the current member's data, which must have as many.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        let read = self.read_up_to(buffer)?;
        self.data_left = self.data_left.saturating_sub(read as u64);
        if read == buffer.len() {
            Ok(())
        } else {
            Err(TarError::Truncated {
                position: self.position,
            })
        }
    }

    /// Reads whatever stands behind the end, so that digests and checksums over the whole stream can be judged.
    pub fn drain(&mut self) -> Result<(), TarError> {
        let mut scratch = [0; 16 << 10];
        while self.read_up_to(&mut scratch)? == scratch.len() {}
        Ok(())
    }

    fn end(&self, preamble: &Preamble) -> Result<Option<Member>, TarError> {
        if preamble.extended.is_some() || preamble.long_path.is_some() || preamble.long_link.is_some() {
            return Err(TarError::Truncated {
                position: self.position,
            });
        }
        Ok(None)
    }

    /// Reads until `buffer` is full or the stream ends.
    fn read_up_to(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.stream.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(TarError::Read {
                        position: self.position,
                        source,
                    });
                }
            }
        }
        self.position += filled as u64;
        if self.position > self.limits.stream_bytes {
            return Err(TarError::TooLong {
                limit: self.limits.stream_bytes,
            });
        }
        Ok(filled)
    }

    fn read_block(&mut self) -> Result<Option<Block>, TarError> {
        let mut block = [0; BLOCK_BYTES];
        match self.read_up_to(&mut block)? {
            BLOCK_BYTES => Ok(Some(block)),
            0 => Ok(None),
            _ => Err(TarError::Truncated {
                position: self.position,
            }),
        }
    }

    fn skip(&mut self, bytes: u64) -> Result<(), TarError> {
        // Data is seldom left, and then a file's: no time goes into zeros for each member.
        let mut left = bytes;
        while left > 0 {
            let mut scratch = [0; 16 << 10];
            let step = usize::try_from(left).map_or(scratch.len(), |left| left.min(scratch.len()));
            self.read_data(&mut scratch[..step])?;
            left -= step as u64;
        }
        Ok(())
    }

    /// Answers whether the stream goes on: some writers leave out the padding behind the last member.
    fn skip_padding(&mut self) -> Result<bool, TarError> {
        let mut scratch = [0; BLOCK_BYTES];
        let padding = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or_default();
        Ok(self.read_up_to(&mut scratch[..padding])? == padding)
    }

    /// The whole data of an extended header.
    fn read_extended(&mut self, header: &Header, position: u64) -> Result<Vec<u8>, TarError> {
        let limit = self.limits.extended_header_bytes;
        let bytes = member::size(header, None, position)?;
        if bytes > limit {
            return Err(TarError::TooLarge {
                position,
                what: "extended header",
                bytes,
                limit,
            });
        }
        self.data_left = bytes;
        // Fits: the limit is far below what a usize holds.
        let mut data = vec![0; usize::try_from(bytes).unwrap_or_default()];
        self.read_data(&mut data)?;
        self.padding = bytes.next_multiple_of(BLOCK_BYTES as u64) - bytes;
        if self.skip_padding()? {
            Ok(data)
        } else {
            Err(TarError::Truncated {
                position: self.position,
            })
        }
    }

    fn read_entry_header(&mut self, header: &Header, position: u64) -> Result<Extended, TarError> {
        let data = self.read_extended(header, position)?;
        let mut extended = self.global.clone();
        extended
            .parse_entry(&data, self.limits.sparse_segments)
            .map_err(|source| TarError::Extended { position, source })?;
        Ok(extended)
    }

    fn read_global_header(&mut self, header: &Header, position: u64) -> Result<(), TarError> {
        let data = self.read_extended(header, position)?;
        self.global
            .parse_global(&data)
            .map_err(|source| TarError::Extended { position, source })?;
        self.check_xattrs(&self.global, position)
    }

    /// A GNU long name: ends at its first NUL.
    fn read_long_text(&mut self, header: &Header, position: u64) -> Result<Vec<u8>, TarError> {
        self.read_extended(header, position)
            .map(|data| header::text(&data).to_vec())
    }

    fn check_xattrs(&self, extended: &Extended, position: u64) -> Result<(), TarError> {
        let (bytes, limit) = (extended.xattrs_bytes() as u64, self.limits.xattrs_bytes as u64);
        if bytes > limit {
            return Err(TarError::TooLarge {
                position,
                what: "extended attributes",
                bytes,
                limit,
            });
        }
        Ok(())
    }

    fn member(&mut self, block: &Block, header: Header, preamble: Preamble, position: u64) -> Result<Member, TarError> {
        let mut extended = preamble.extended.unwrap_or_else(|| self.global.clone());
        self.check_xattrs(&extended, position)?;
        let target = extended.link_target.take().or(preamble.long_link);
        let target = target.unwrap_or_else(|| header.link_target.clone());
        let path = extended
            .path
            .take()
            .or(preamble.long_path)
            .unwrap_or_else(|| header.path.clone());
        // V7 had no type for directories, only the slash behind their name.
        let type_flag = if header.type_flag == 0 && path.ends_with(b"/") {
            b'5'
        } else {
            header.type_flag
        };
        let kind = match type_flag {
            0 | b'0' | b'7' | b'S' => self.regular(block, &header, &mut extended, position)?,
            b'1' => MemberKind::HardLink { target },
            b'2' => MemberKind::Symlink { target },
            b'3' | b'4' => member::device(&header, position)?,
            b'5' => MemberKind::Directory,
            b'6' => MemberKind::Fifo,
            other => {
                return Err(TarError::Type {
                    position,
                    type_flag: char::from(other),
                });
            }
        };
        Ok(Member {
            path: extended.sparse.path.take().unwrap_or(path),
            mode: header.mode,
            uid: member::owner("uid", extended.uid, header.uid, position)?,
            gid: member::owner("gid", extended.gid, header.gid, position)?,
            mtime: extended.mtime.unwrap_or(Timestamp {
                seconds: header.mtime,
                nanoseconds: 0,
            }),
            xattrs: extended.xattrs,
            kind,
        })
    }

    /// Prepares a regular file's data for reading; only these have any, whatever the size of others says.
    fn regular(
        &mut self,
        block: &Block,
        header: &Header,
        extended: &mut Extended,
        position: u64,
    ) -> Result<MemberKind, TarError> {
        let stored = member::size(header, extended.size, position)?;
        self.data_left = stored;
        self.padding = stored.next_multiple_of(BLOCK_BYTES as u64) - stored;
        let refused = |source| TarError::Sparse { position, source };
        let (segments, file_bytes) = if header.type_flag == b'S' {
            (
                self.old_segments(block, position)?,
                sparse::parse_old_file_bytes(block).map_err(refused)?,
            )
        } else if extended.sparse.is_sparse() {
            let segments = match extended.sparse.segments.take() {
                Some(segments) if extended.sparse.version != (1, 0) => segments,
                _ => self.line_segments(position)?,
            };
            (
                segments,
                extended.sparse.file_bytes.ok_or(refused(SparseError::SizeMissing))?,
            )
        } else {
            return Ok(MemberKind::Regular {
                file_bytes: stored,
                segments: None,
            });
        };
        sparse::verify(&segments, file_bytes, self.data_left).map_err(refused)?;
        Ok(MemberKind::Regular {
            file_bytes,
            segments: Some(segments),
        })
    }

    /// The map of an old GNU sparse file: in its header and in extension blocks in front of the data.
    fn old_segments(&mut self, block: &Block, position: u64) -> Result<Vec<Segment>, TarError> {
        let refused = |source| TarError::Sparse { position, source };
        let limit = self.limits.sparse_segments;
        let mut part = sparse::parse_old_header(block).map_err(refused)?;
        let mut segments = part.segments;
        while part.is_extended {
            let extension = self.read_block()?.ok_or(TarError::Truncated {
                position: self.position,
            })?;
            part = sparse::parse_old_extension(&extension).map_err(refused)?;
            segments.append(&mut part.segments);
            if segments.len() > limit {
                return Err(refused(SparseError::TooMany { limit }));
            }
        }
        Ok(segments)
    }

    /// The map of a PAX 1.0 sparse file: lines in front of the data, padded to whole blocks.
    fn line_segments(&mut self, position: u64) -> Result<Vec<Segment>, TarError> {
        let mut map = LineMap::new(self.limits.sparse_segments);
        let mut line = Vec::new();
        while !map.is_complete() {
            if self.data_left < BLOCK_BYTES as u64 {
                return Err(TarError::Sparse {
                    position,
                    source: SparseError::Number,
                });
            }
            let mut block = [0; BLOCK_BYTES];
            self.read_data(&mut block)?;
            for byte in block {
                if map.is_complete() {
                    break;
                }
                // A 64-bit number has at most twenty digits: what is longer fails to be a number.
                match byte {
                    b'\n' => {
                        map.push(&line)
                            .map_err(|source| TarError::Sparse { position, source })?;
                        line.clear();
                    }
                    _ if line.len() <= 20 => line.push(byte),
                    _ => {
                        return Err(TarError::Sparse {
                            position,
                            source: SparseError::Number,
                        });
                    }
                }
            }
        }
        Ok(map.into_segments())
    }
}
