//! Layers come compressed with gzip or zstd, or plain: told apart by their first bytes, never by what a manifest says.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// Read size towards the compressed stream.
const BUFFER_BYTES: usize = 128 << 10;

/// RFC 1952, 2.3.1.
const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];
/// RFC 8878, 3.1.1.
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// RFC 8878, 3.1.2: the last three bytes of a skippable frame's magic; its first byte is 0x50 to 0x5f.
const ZSTD_SKIPPABLE_MAGIC: &[u8] = &[0x2a, 0x4d, 0x18];
/// Compressions that other tools know for tar archives but images do not use.
const FOREIGN_MAGICS: &[(&str, &[u8])] = &[
    ("bzip2", b"BZh"),
    ("xz", &[0xfd, b'7', b'z', b'X', b'Z', 0]),
    ("lz4", &[0x04, 0x22, 0x4d, 0x18]),
];
/// As many bytes as the longest magic has.
const MAGIC_BYTES_MAX: usize = 6;

/// Largest window a zstd layer may ask for, as a power of two: 32 MiB, the most that builders of images make. It bounds memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 25;

type Source<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// gzip, of one member or many.
    Gzip,
    /// zstd, of one frame or many, skippable ones left out.
    Zstd,
}

/// The uncompressed stream. The compressed one below has been read to its end once this one ends.
pub struct Decompressor<R: Read>(Decoder<R>);

enum Decoder<R: Read> {
    Plain(Source<R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(zstd::Decoder<'static, Source<R>>),
}

/// Looks at the first bytes of `reader` and decompresses what follows.
///
/// # Errors
/// If reading fails, or if the stream is compressed in a way that images do not use.
pub fn open<R: Read>(mut reader: R) -> io::Result<Decompressor<R>> {
    let mut magic = Vec::with_capacity(MAGIC_BYTES_MAX);
    reader.by_ref().take(MAGIC_BYTES_MAX as u64).read_to_end(&mut magic)?;
    let compression = sniff(&magic)?;
    let source = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(magic).chain(reader));
    Ok(Decompressor(match compression {
        Compression::Plain => Decoder::Plain(source),
        Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(source))),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(source)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Decoder::Zstd(decoder)
        }
    }))
}

fn sniff(magic: &[u8]) -> io::Result<Compression> {
    if let Some((name, _)) = FOREIGN_MAGICS.iter().find(|(_, foreign)| magic.starts_with(foreign)) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("compressed with {name}, not gzip or zstd"),
        ));
    }
    let is_skippable = magic.first().is_some_and(|byte| byte & 0xf0 == 0x50)
        && magic
            .get(1..)
            .is_some_and(|rest| rest.starts_with(ZSTD_SKIPPABLE_MAGIC));
    Ok(if magic.starts_with(GZIP_MAGIC) {
        Compression::Gzip
    } else if magic.starts_with(ZSTD_MAGIC) || is_skippable {
        Compression::Zstd
    } else {
        Compression::Plain
    })
}

impl<R: Read> Decompressor<R> {
    /// What the first bytes told.
    pub fn compression(&self) -> Compression {
        match &self.0 {
            Decoder::Plain(_) => Compression::Plain,
            Decoder::Gzip(_) => Compression::Gzip,
            Decoder::Zstd(_) => Compression::Zstd,
        }
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Decoder::Plain(source) => source.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    /// A source that gives one byte at a time.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let step = buffer.len().min(1);
            self.0.read(&mut buffer[..step])
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    fn check(compressed: &[u8], compression: Compression, expected: &[u8]) {
        let mut decompressor = open(Trickle(compressed)).unwrap();
        assert_eq!(decompressor.compression(), compression);
        let mut bytes = Vec::new();
        decompressor.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn each_compression_is_known_by_its_first_bytes() {
        check(b"plain text", Compression::Plain, b"plain text");
        check(b"", Compression::Plain, b"");
        check(b"x", Compression::Plain, b"x");
        check(&gzip(b"text"), Compression::Gzip, b"text");
        check(&zstd(b"text"), Compression::Zstd, b"text");
    }

    #[test]
    fn members_and_frames_follow_one_another() {
        check(
            &[gzip(b"one "), gzip(b""), gzip(b"two")].concat(),
            Compression::Gzip,
            b"one two",
        );
        let skippable: &[u8] = &[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let frames = [&zstd(b"one "), skippable, &zstd(b"two"), skippable].concat();
        check(&frames, Compression::Zstd, b"one two");
        check(&[skippable, &zstd(b"text")].concat(), Compression::Zstd, b"text");
    }

    #[test]
    fn damage_and_foreign_compressions_are_errors() {
        let text = vec![b'x'; 100_000];
        for compressed in [gzip(&text), zstd(&text)] {
            let cut = &compressed[..compressed.len() - 1];
            assert!(open(cut).unwrap().read_to_end(&mut Vec::new()).is_err());
        }
        let mut damaged = gzip(&text);
        let crc = damaged.len() - 5;
        damaged[crc] ^= 1;
        assert!(open(damaged.as_slice()).unwrap().read_to_end(&mut Vec::new()).is_err());
        let refused = open(&b"BZh91AY"[..]).map(|_| ()).unwrap_err();
        assert_eq!(refused.to_string(), "compressed with bzip2, not gzip or zstd");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(magic in 0_usize..3, bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let stream = [[GZIP_MAGIC, ZSTD_MAGIC, &[]][magic], &bytes].concat();
            if let Ok(decompressor) = open(stream.as_slice()) {
                let _ = decompressor.take(1 << 20).read_to_end(&mut Vec::new());
            }
        }
    }
}
