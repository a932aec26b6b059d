//! `cargo xtask demo`, behind `make run`: a container of a busybox image, from nothing.

use std::path::Path;

use anyhow::Result;

use crate::build::build;
use crate::process::{command, output, run};

/// What the container runs.
const SCRIPT: &str = "echo hello from $(uname -r); cat /proc/meminfo | head -1; nproc";

/// Builds what is missing, makes the image and runs it.
pub fn demo(root: &Path) -> Result<()> {
    let tree = build(root)?;
    if tree.replaced {
        run(command(root, tree.bin("mote")).args(["machine", "stop"]))?;
    }
    let archive = output(&mut command(root, "rootfs/images/busybox.sh"))?;
    let image = format!("oci-archive:{}", archive.trim());
    let options = ["run", "--rm", "--timing", "--cpu", "0.25", "--memory", "64"];
    run(command(root, tree.bin("mote"))
        .args(options)
        .arg(image)
        .args(["sh", "-c", SCRIPT]))
}
