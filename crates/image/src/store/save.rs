//! Images out of the store, as an archive of an OCI image layout: what was pulled, byte for byte.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};

use serde_json::json;

use super::files::Area;
use super::{Image, Store, StoreError};
use crate::digest::Digest;
use crate::local::layout::{ANNOTATION_CONTAINERD_NAME, ANNOTATION_REF_NAME, CONTENTS, MARKER};
use crate::manifest;
use crate::store::holds::Hold;

/// Images that are about to be saved. They stay in the store as long as this value lives.
#[derive(Debug)]
pub struct Saving {
    store: Store,
    images: Vec<Image>,
    hold: Option<Hold>,
}

impl Drop for Saving {
    fn drop(&mut self) {
        self.store.inner.let_go(self.hold.take());
    }
}

impl Store {
    /// Gets ready to save the images that `words` mean. Blocks for moments.
    ///
    /// # Errors
    /// If there is no such image, or a part of one was not kept.
    pub fn saving(&self, words: &[String]) -> Result<Saving, StoreError> {
        let images = words
            .iter()
            .map(|word| self.resolve(word))
            .collect::<Result<Vec<_>, _>>()?;
        let hold = self.inner.holds.hold(images.iter().flat_map(blobs).collect());
        let is_kept = |digest: &Digest| self.inner.files.path(Area::Blobs, *digest).exists();
        for (word, image) in words.iter().zip(&images) {
            // Held from here on; but it may have been removed since it was resolved.
            self.resolve(word)?;
            if !blobs(image).all(|digest| is_kept(&digest)) {
                return Err(StoreError::NotKept(word.clone()));
            }
        }
        Ok(Saving {
            store: self.clone(),
            images,
            hold: Some(hold),
        })
    }
}

fn blobs(image: &Image) -> impl Iterator<Item = Digest> {
    let record = &image.record;
    let layers = record.layers.iter().map(|layer| layer.blob);
    [record.digest, record.config_digest].into_iter().chain(layers)
}

impl Saving {
    /// Writes the archive. Blocks. The same images make the same bytes.
    ///
    /// # Errors
    /// If reading or writing fails.
    pub fn write(&self, out: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(out);
        append(&mut archive, MARKER, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let manifests = self
            .images
            .iter()
            .map(|image| self.entries(image))
            .collect::<io::Result<Vec<_>>>()?;
        let contents = json!({
            "schemaVersion": 2,
            "mediaType": manifest::OCI_INDEX,
            "manifests": manifests.concat(),
        });
        append(&mut archive, CONTENTS, contents.to_string().as_bytes())?;
        let distinct: BTreeMap<Digest, ()> = self.images.iter().flat_map(blobs).map(|digest| (digest, ())).collect();
        for digest in distinct.into_keys() {
            let file = File::open(self.store.inner.files.path(Area::Blobs, digest))?;
            let mut header = header(file.metadata()?.len());
            archive.append_data(&mut header, format!("blobs/sha256/{}", digest.hex()), file)?;
        }
        archive.into_inner()?.flush()
    }

    /// What the table of contents says of an image: once for each of its names.
    fn entries(&self, image: &Image) -> io::Result<Vec<serde_json::Value>> {
        let bytes = std::fs::read(self.store.inner.files.path(Area::Blobs, image.record.digest))?;
        let entry = json!({
            "mediaType": manifest::media_type(&bytes),
            "digest": image.record.digest.to_string(),
            "size": bytes.len(),
            "platform": platform(image),
        });
        if image.names.is_empty() {
            return Ok(vec![entry]);
        }
        let named = |name: &String| {
            let mut entry = entry.clone();
            entry["annotations"] = json!({ANNOTATION_REF_NAME: name, ANNOTATION_CONTAINERD_NAME: name});
            entry
        };
        Ok(image.names.iter().map(named).collect())
    }
}

fn platform(image: &Image) -> serde_json::Value {
    let platform = &image.record.platform;
    let mut value = json!({"os": platform.os, "architecture": platform.architecture});
    if !platform.variant.is_empty() {
        value["variant"] = json!(platform.variant);
    }
    value
}

fn append<W: Write>(archive: &mut tar::Builder<W>, path: &str, bytes: &[u8]) -> io::Result<()> {
    archive.append_data(&mut header(bytes.len() as u64), path, bytes)
}

fn header(bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes);
    header.set_mode(0o644);
    header
}
