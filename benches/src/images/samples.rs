//! The images: two of Debian's programs, and one that is nothing but small files.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use image::Digest;
use image::digest::HashingReader;
use serde_json::json;

use crate::bundle::succeed;

/// The images of the recipes, by the variables that name their archives.
const ARCHIVES: [(&str, &str); 2] = [("python", "MOTE_IMAGE_PYTHON"), ("postgres", "MOTE_IMAGE_POSTGRES")];

/// Files of the image of small files.
const SMALL_FILES: u32 = 200_000;

/// Files in one of its directories.
const FILES_OF_DIRECTORY: u32 = 200;

/// The longest of its files, in bytes; the shortest is a sixteenth of it.
const SMALL_BYTES_MAX: u32 = 1024;

/// The tag of each image in its layout.
const TAG: &str = "image";

/// An image as an OCI layout.
pub struct Image {
    /// What it is called in figures.
    pub name: String,
    /// Its layout.
    pub layout: PathBuf,
    /// Whether its layers are compressed with gzip, which all peers read; else with zstd.
    pub is_gzip: bool,
}

impl Image {
    /// The layout with the image's tag, as umoci wants it.
    pub fn layout_and_tag(&self) -> String {
        format!("{}:{TAG}", self.layout.display())
    }

    /// As skopeo, podman and mote want it.
    pub fn source(&self) -> String {
        format!("oci:{}", self.layout_and_tag())
    }

    /// The program that decompresses its layers.
    pub fn decompressor(&self) -> &'static str {
        if self.is_gzip { "gzip -dc" } else { "zstd -dc" }
    }

    /// Decompresses all layers in one thread, to nowhere.
    pub fn decompression(&self) -> Command {
        let mut command = Command::new("sh");
        // Manifests and configurations are small, and are told apart by what they begin with.
        let magic = if self.is_gzip { "1f8b" } else { "28b52ffd" };
        let script = format!(
            "for blob in \"$0\"/blobs/sha256/*; do case $(od -An -tx1 -N4 \"$blob\" | tr -d ' ') in {magic}*) {} \"$blob\" > /dev/null || exit 1;; esac; done",
            self.decompressor()
        );
        command.args(["-c", &script]).arg(&self.layout);
        command
    }
}

/// Makes the layouts below `directory`.
pub fn prepare(directory: &Path) -> Result<Vec<Image>> {
    let mut images = vec![];
    for (name, variable) in ARCHIVES {
        let archive = std::env::var(variable).with_context(|| format!("{variable} names no image"))?;
        let image = Image {
            name: name.into(),
            layout: directory.join(name),
            is_gzip: true,
        };
        let from = format!("oci-archive:{archive}");
        succeed(Command::new("skopeo").args(["copy", "--quiet", &from, &image.source()]))?;
        images.push(image);
    }
    let tar = directory.join("small.tar");
    write_small_files(&tar).context("cannot write the image of small files")?;
    for (is_gzip, program) in [(true, "gzip"), (false, "zstd")] {
        let name = format!("{SMALL_FILES} small files, {program}");
        let layout = directory.join(format!("small-{program}"));
        write_layout(&layout, &tar, program).with_context(|| format!("cannot write {}", layout.display()))?;
        images.push(Image { name, layout, is_gzip });
    }
    fs::remove_file(&tar).context("cannot remove a file")?;
    Ok(images)
}

/// Text of the kind that source code is, of lengths that differ, no two files the same.
fn write_small_files(path: &Path) -> Result<()> {
    let mut archive = tar::Builder::new(BufWriter::new(File::create(path)?));
    // Knuth's linear congruential generator: always the same image.
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    for at in 0..SMALL_FILES {
        let len = SMALL_BYTES_MAX / 16 + next() % (SMALL_BYTES_MAX - SMALL_BYTES_MAX / 16);
        let mut text = format!("file {at}\n");
        while text.len() < len as usize {
            text.push_str(["let ", "value", " = ", "(", ")", ";\n", "self.", "next"][next() as usize % 8]);
        }
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        let name = format!("small/{}/{}.rs", at / FILES_OF_DIRECTORY, at % FILES_OF_DIRECTORY);
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    Ok(archive.into_inner()?.flush()?)
}

/// An OCI layout of one image with one layer.
fn write_layout(layout: &Path, tar: &Path, program: &str) -> Result<()> {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let packed = layout.join("packed");
    let script = format!("{program} -c \"$0\" > \"$1\"");
    succeed(Command::new("sh").args(["-c", &script]).arg(tar).arg(&packed))?;
    let (diff_id, _) = digest(tar)?;
    let (digest_of_layer, bytes) = digest(&packed)?;
    fs::rename(&packed, blobs.join(digest_of_layer.hex()))?;
    let add = |document: serde_json::Value, media_type: &str| -> Result<serde_json::Value> {
        let bytes = document.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        fs::write(blobs.join(digest.hex()), &bytes)?;
        Ok(json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()}))
    };
    let config = json!({
        "os": "linux", "architecture": "amd64", "config": {"Cmd": ["/none"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id.to_string()]},
    });
    let config = add(config, image::manifest::OCI_CONFIG)?;
    let layer = format!("{}+{program}", image::manifest::OCI_LAYER);
    let layer = json!({"mediaType": layer, "digest": digest_of_layer.to_string(), "size": bytes});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": image::manifest::OCI_MANIFEST, "config": config, "layers": [layer],
    });
    let mut entry = add(manifest, image::manifest::OCI_MANIFEST)?;
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": TAG});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    fs::write(layout.join("index.json"), index.to_string())?;
    Ok(fs::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?)
}

/// A file's digest and length.
fn digest(path: &Path) -> Result<(Digest, u64)> {
    let mut reader = HashingReader::new(File::open(path)?);
    let mut buffer = vec![0; 1 << 20];
    while reader.read(&mut buffer)? > 0 {}
    Ok(reader.finish())
}
