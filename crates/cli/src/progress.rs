//! How the arrival of an image is shown: bars on a terminal, silence elsewhere.

use std::collections::HashMap;
use std::time::Duration;

use api::image::ImageEvent;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// How often a bar that waits shows that it is alive.
const TICK: Duration = Duration::from_millis(100);

/// Shows [`ImageEvent`]s.
pub struct ImageProgress {
    bars: MultiProgress,
    layers: HashMap<String, ProgressBar>,
}

impl ImageProgress {
    /// Shows bars on standard error where that is a terminal and `quiet` is not wanted.
    pub fn new(quiet: bool) -> Self {
        let shown = !quiet && output::is_interactive();
        let target = if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            bars: MultiProgress::with_draw_target(target),
            layers: HashMap::new(),
        }
    }

    /// Takes one event in.
    pub fn show(&mut self, event: &ImageEvent) {
        match event {
            ImageEvent::Resolved { layers, .. } => {
                for layer in layers {
                    let bar = self.bars.add(ProgressBar::new(layer.size_bytes).with_style(style()));
                    bar.set_prefix(short(&layer.digest));
                    bar.enable_steady_tick(TICK);
                    self.layers.insert(layer.digest.clone(), bar);
                }
            }
            ImageEvent::LayerProgress { digest, received_bytes } => {
                if let Some(bar) = self.layers.get(digest) {
                    bar.set_position(*received_bytes);
                }
            }
            ImageEvent::LayerDone { digest, existed } => {
                if let Some(bar) = self.layers.get(digest) {
                    bar.finish_with_message(if *existed { "already there" } else { "done" });
                }
            }
            ImageEvent::Done { .. } | ImageEvent::Failed { .. } => {
                for bar in self.layers.values() {
                    bar.abandon();
                }
            }
        }
    }
}

fn style() -> ProgressStyle {
    const TEMPLATE: &str = "{prefix} [{bar:30}] {bytes:>10}/{total_bytes} {bytes_per_sec} {msg}";
    ProgressStyle::with_template(TEMPLATE)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// The first twelve digits of a digest.
pub fn short(digest: &str) -> String {
    digest
        .split_once(':')
        .map_or(digest, |(_, digits)| digits)
        .chars()
        .take(12)
        .collect()
}
