//! What an image and each of its layers may cost: every bound that hostile image bytes meet, by name.

/// Length of the longest file name Linux takes (`NAME_MAX`).
pub const NAME_BYTES_MAX: usize = 255;

/// Longest value an EROFS extended attribute can hold: its length is a 16-bit number.
pub const XATTR_VALUE_BYTES_MAX: usize = 65_535;

/// Largest major number: Linux packs device numbers into 12 + 20 bits.
pub const DEVICE_MAJOR_MAX: u32 = 0xfff;
/// Largest minor number.
pub const DEVICE_MINOR_MAX: u32 = 0xf_ffff;

/// Bounds for the conversion of an image.
///
/// The defaults are far above what real images need and far below what would hurt a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an image's uncompressed layers together.
    pub image_bytes: u64,
    /// Entries of an image's layers together.
    pub image_files: u64,
    /// How many times its size a layer may expand to when it is decompressed. Deflate reaches 1032.
    pub image_expansion: u64,
    /// Bytes of a layer's uncompressed tar stream, padding and rubbish behind the end included.
    pub stream_bytes: u64,
    /// Bytes of regular file contents with the holes of sparse files counted in.
    pub data_bytes: u64,
    /// Entries in the layer, whiteouts included.
    pub entries: usize,
    /// Bytes of all paths, link targets and extended attributes of the layer: bounds its index in memory.
    pub index_bytes: usize,
    /// Bytes of one path.
    pub path_bytes: usize,
    /// Components of one path.
    pub path_components: usize,
    /// Bytes of one symbolic link's target.
    pub link_target_bytes: usize,
    /// Bytes of the names and values of one entry's extended attributes together.
    pub xattrs_bytes: usize,
    /// Bytes of one PAX header, GNU long name or long link name.
    pub extended_header_bytes: u64,
    /// Data segments of one sparse file.
    pub sparse_segments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            image_bytes: 128 << 30,
            image_files: 4_000_000,
            image_expansion: 1100,
            stream_bytes: 64 << 30,
            data_bytes: 64 << 30,
            entries: 2_000_000,
            index_bytes: 256 << 20,
            // Linux's PATH_MAX counts a closing NUL.
            path_bytes: 4095,
            path_components: 256,
            link_target_bytes: 4095,
            xattrs_bytes: 128 << 10,
            extended_header_bytes: 1 << 20,
            sparse_segments: 1 << 18,
        }
    }
}
