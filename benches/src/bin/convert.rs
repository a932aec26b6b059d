//! `mote-bench-convert STORE SOURCE`: brings an image into a store, builds its rootfs snapshot, and prints one JSON document of what that took.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for a benchmark, which reads it")]

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use image::{Progress, PullOptions, Source, Store, StoreOptions};

/// Where from, where to.
#[derive(Parser)]
struct Arguments {
    /// The store's directory
    store: PathBuf,
    /// As `mote run` takes it
    source: String,
    /// Throw layers' blobs away
    #[arg(long)]
    discard_blobs: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let options = StoreOptions {
        discards_blobs: arguments.discard_blobs,
        ..StoreOptions::default()
    };
    let store = Store::open(&arguments.store, options)?;
    let source = Source::parse(&arguments.source)?;
    let started = Instant::now();
    let image = store
        .pull(&source, &PullOptions::default(), &Progress::silent())
        .await?;
    let pulled = started.elapsed();
    let snapshot = store.snapshot(&image).await?;
    let done = started.elapsed();
    let flat_bytes: u64 = snapshot.parts.iter().map(|part| part.len_bytes).sum();
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let peak_kib: u64 = peak.context("Linux tells no peak of memory")?.trim().parse()?;
    println!(
        "{}",
        serde_json::json!({
            "pull_ms": pulled.as_secs_f64() * 1e3,
            "all_ms": done.as_secs_f64() * 1e3,
            "peak_kib": peak_kib,
            "flat_bytes": flat_bytes,
            "metadata_bytes": snapshot.parts.first().map(|part| part.len_bytes),
            "store_bytes": store.usage(|_| true)?.bytes,
        })
    );
    Ok(())
}
