//! A flat image made of layer blobs by the crate under test, and the same blobs as an OCI image for others.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use image::index::Index;
use image::limits::Limits;
use image::{decompress, erofs, index, layer, snapshot};
use sha2::{Digest, Sha256};

use crate::erofs_reader::{self, FoundBody};
use crate::listing::{self, Item, Kind};
use crate::tool;

/// Converts `blobs`, the lowest layer first, and puts the flat image together at `directory/flat.erofs`.
pub fn flatten(blobs: &[PathBuf], directory: &Path) -> PathBuf {
    let mut layers = Vec::new();
    for (at, blob) in blobs.iter().enumerate() {
        let path = directory.join(format!("layer{at}.data"));
        let mut data = create(&path);
        let stream = decompress::open(File::open(blob).unwrap()).unwrap();
        let mut writer = index::Writer::new(Vec::new());
        let data_blocks = layer::convert(
            stream,
            &mut data,
            &Limits::default(),
            Some(erofs::packed_head),
            |entry| writer.push(entry),
        )
        .unwrap();
        let index = opened(writer.finish(data_blocks).unwrap());
        layers.push((index, data, path));
    }
    let parts: Vec<_> = layers
        .iter()
        .map(|(index, data, _)| snapshot::Layer {
            index,
            data,
            bytes: data.metadata().unwrap().len(),
        })
        .collect();
    let flat = directory.join("flat.erofs");
    let mut out = create(&flat);
    let made = snapshot::build(&parts, &mut out).unwrap();
    assert_eq!(out.metadata().unwrap().len(), made.metadata_blocks * layer::BLOCK_BYTES);
    for (_, _, path) in &layers {
        io::copy(&mut File::open(path).unwrap(), &mut out).unwrap();
    }
    assert_eq!(out.metadata().unwrap().len(), made.bytes());
    flat
}

/// An index that is in memory.
pub fn opened(bytes: Vec<u8>) -> Index {
    let len_bytes = bytes.len() as u64;
    Index::open(Box::new(bytes), len_bytes, &Limits::default()).unwrap()
}

fn create(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .unwrap()
}

/// What the flat image holds, read by the tests' own reader.
pub fn items(flat: &Path) -> BTreeMap<Vec<u8>, Item> {
    let found = erofs_reader::read(&fs::read(flat).unwrap());
    let item = |(path, found): (Vec<u8>, erofs_reader::Found)| {
        let (major, minor) = match found.body {
            FoundBody::Device(packed) => (packed >> 8 & 0xfff, packed & 0xff | packed >> 12 & 0xf_ff00),
            _ => (0, 0),
        };
        let kind = match found.body {
            FoundBody::Directory => Kind::Directory,
            FoundBody::File(contents) => {
                let (bytes, digest) = listing::digest(contents.as_slice()).unwrap();
                Kind::File(bytes, digest)
            }
            FoundBody::Symlink(target) => Kind::Symlink(target),
            FoundBody::Device(_) if found.mode >> 12 == 0o02 => Kind::CharacterDevice(major, minor),
            FoundBody::Device(_) => Kind::BlockDevice(major, minor),
            FoundBody::Fifo => Kind::Fifo,
        };
        let item = Item {
            mode: u32::from(found.mode & 0o7777),
            uid: found.uid,
            gid: found.gid,
            mtime: (found.mtime.0, i64::from(found.mtime.1)),
            xattrs: found.xattrs,
            kind,
            identity: found.nid,
            links: u64::from(found.links),
        };
        (path, item)
    };
    found.into_iter().map(item).collect()
}

/// What `umoci unpack` makes of the same blobs; leaves the tree at `directory/bundle/rootfs`.
pub fn umoci_items(blobs: &[PathBuf], directory: &Path) -> BTreeMap<Vec<u8>, Item> {
    let layout = directory.join("layout");
    write_layout(blobs, &layout);
    let bundle = directory.join("bundle");
    let image = format!("{}:latest", layout.display());
    tool::run("umoci", ["unpack", "--image", &image, bundle.to_str().unwrap()]);
    listing::collect(&bundle.join("rootfs")).unwrap()
}

/// Writes an OCI image layout (OCI image spec, image-layout.md).
fn write_layout(blobs: &[PathBuf], layout: &Path) {
    let directory = layout.join("blobs/sha256");
    fs::create_dir_all(&directory).unwrap();
    let add = |bytes: &[u8], media_type: &str| {
        let digest = listing::hex(&Sha256::digest(bytes));
        fs::write(directory.join(&digest), bytes).unwrap();
        serde_json::json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    };
    let mut layers = Vec::new();
    let mut diff_ids = Vec::new();
    for blob in blobs {
        let bytes = fs::read(blob).unwrap();
        let plain = decompress::open(bytes.as_slice()).unwrap();
        let media_type = match plain.compression() {
            decompress::Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            _ => "application/vnd.oci.image.layer.v1.tar",
        };
        diff_ids.push(format!("sha256:{}", listing::hex(&listing::digest(plain).unwrap().1)));
        layers.push(add(&bytes, media_type));
    }
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let config = add(
        config.to_string().as_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers });
    let mut manifest = add(
        manifest.to_string().as_bytes(),
        "application/vnd.oci.image.manifest.v1+json",
    );
    manifest["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "latest" });
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}
