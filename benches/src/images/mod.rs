//! How fast an image becomes a rootfs snapshot, what space and memory that takes, beside the tools that people know.
//!
//! [`samples`] are the images, [`peers`] are the others, [`registry`] is where images are pulled from for the memory.

mod peers;
mod registry;
mod samples;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::bundle::{said, succeed};
use crate::clock::monotonic_ns;
use crate::host::Scratch;
use crate::report::{Figure, Outcome};
use peers::Peer;
use registry::Registry;
use samples::Image;

/// Runs of each tool; the median counts.
const RUNS: usize = 3;

/// What conversion may take by the fastest peer: half its time.
const BY_PEER_MAX: f64 = 0.5;

/// What conversion may take by decompression alone.
const BY_DECOMPRESSION_MAX: f64 = 1.3;

/// What the flat image may take by `mkfs.erofs` without compression.
const BY_MKFS_MAX: f64 = 1.05;

/// The memory that a pull may have, in MiB.
const PEAK_MIB_MAX: f64 = 64.0;

/// What `mote-bench-convert` prints.
#[derive(Deserialize)]
struct Converted {
    all_ms: f64,
    peak_kib: f64,
    flat_bytes: f64,
    store_bytes: f64,
}

/// Measures all images, or those that have `only` in their names.
pub fn measure(only: Option<&str>) -> Result<Outcome> {
    let scratch = Scratch::new("images")?;
    let mut outcome = Outcome::default();
    let registry = Registry::start(scratch.path())?;
    let mut images = samples::prepare(scratch.path())?;
    images.retain(|image| only.is_none_or(|part| image.name.contains(part)));
    for image in &images {
        outcome
            .results
            .extend(measure_image(image, &registry, scratch.path(), &mut outcome.notes)?);
    }
    let first = images.first().context("no image has that in its name")?;
    outcome.results.extend(sharing(first, scratch.path())?);
    outcome.notes.push(format!(
        "times are medians of {RUNS} runs, each into an empty directory, from a layout whose files are in memory"
    ));
    outcome.notes.push("mote keeps layers' blobs, syncs all it writes and checks both digests of every layer; its time ends with the rootfs snapshot's metadata".into());
    Ok(outcome)
}

fn measure_image(image: &Image, registry: &Registry, scratch: &Path, notes: &mut Vec<String>) -> Result<Vec<Figure>> {
    let name = &image.name;
    let mut figures = vec![];
    let source = image.source();
    let (ours_ms, converted) = median_of(|at| {
        let converted = convert(&scratch.join(format!("store-{at}")), &source, true)?;
        Ok((converted.all_ms, converted))
    })?;
    if image.is_gzip {
        let mut fastest: Option<(&str, f64)> = None;
        for peer in Peer::all(scratch, notes)? {
            let (ms, ()) = median_of(|_| Ok((peer.unpack(image, scratch)?, ())))?;
            figures.push(Figure::new(format!("{name}: {}", peer.name()), "ms", ms));
            if fastest.is_none_or(|(_, least)| ms < least) {
                fastest = Some((peer.name(), ms));
            }
        }
        let (peer, ms) = fastest.context("there is no peer to compare with")?;
        figures.push(Figure::new(format!("{name}: mote"), "ms", ours_ms).against(peer, ms));
        figures.push(Figure::new(format!("{name}: mote by the fastest peer"), "", ours_ms / ms).at_most(BY_PEER_MAX));
    } else {
        figures.push(Figure::new(format!("{name}: mote"), "ms", ours_ms));
    }
    let (floor_ms, ()) = median_of(|_| Ok((timed(&mut image.decompression())?, ())))?;
    let by_floor = Figure::new(
        format!("{name}: mote by {}", image.decompressor()),
        "",
        ours_ms / floor_ms,
    );
    figures.push(by_floor.at_most(BY_DECOMPRESSION_MAX));
    if image.is_gzip {
        let mkfs_bytes = peers::mkfs_erofs(image, scratch)?;
        figures.push(Figure::new(
            format!("{name}: flat image"),
            "MiB",
            converted.flat_bytes / f64::from(1 << 20),
        ));
        let by_mkfs = Figure::new(
            format!("{name}: flat image by mkfs.erofs"),
            "",
            converted.flat_bytes / mkfs_bytes,
        );
        figures.push(by_mkfs.at_most(BY_MKFS_MAX));
    }
    let pulled = registry.push(image)?;
    let pulled = convert(&scratch.join("store-pull"), &pulled, true)?;
    let peak = Figure::new(
        format!("{name}: peak resident memory of a pull"),
        "MiB",
        pulled.peak_kib / 1024.0,
    );
    figures.push(peak.at_most(PEAK_MIB_MAX));
    Ok(figures)
}

/// What a second image costs that adds a file to the first.
fn sharing(image: &Image, scratch: &Path) -> Result<Vec<Figure>> {
    let file = scratch.join("added");
    std::fs::write(&file, vec![b'x'; 1 << 20]).context("cannot write a file")?;
    let tag = format!("{}:more", image.layout.display());
    let insert = ["insert", "--rootless", "--tag", "more", "--image"];
    succeed(
        Command::new("umoci")
            .args(insert)
            .arg(image.layout_and_tag())
            .arg(&file)
            .arg("/added"),
    )?;
    let store = scratch.join("store-shared");
    let first = convert(&store, &image.source(), false)?;
    let second = convert(&store, &format!("oci:{tag}"), true)?;
    let name = &image.name;
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    Ok(vec![
        Figure::new(format!("{name}: the store with it"), "MiB", mib(first.store_bytes)),
        Figure::new(
            format!("{name}: what the store takes more for an image with 1 MiB on top"),
            "MiB",
            mib(second.store_bytes - first.store_bytes),
        ),
    ])
}

/// Runs the program that converts, in a process of its own, so that its memory is its own.
fn convert(store: &Path, source: &str, goes: bool) -> Result<Converted> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let program = program.with_file_name("mote-bench-convert");
    let printed = said(Command::new(program).arg(store).arg(source))?;
    if goes {
        std::fs::remove_dir_all(store).with_context(|| format!("cannot remove {}", store.display()))?;
    }
    serde_json::from_str(&printed).context("mote-bench-convert prints something else")
}

/// The run in the middle by its time.
fn median_of<T>(run: impl Fn(usize) -> Result<(f64, T)>) -> Result<(f64, T)> {
    let mut runs = (0..RUNS).map(run).collect::<Result<Vec<_>>>()?;
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(runs.swap_remove(RUNS / 2))
}

/// How long a command takes, in milliseconds.
fn timed(command: &mut Command) -> Result<f64> {
    let started = monotonic_ns();
    succeed(command)?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a benchmark")]
    Ok((monotonic_ns() - started) as f64 / 1e6)
}
