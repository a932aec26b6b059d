//! A disk that fails: what was stored is kept, what was acknowledged is there, and nothing half-done is left.

#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod database;
mod scratch;
#[path = "../../../image/tests/source/strace.rs"]
mod strace;

use std::path::Path;
use std::process::Output;

/// What fails: a system call, and how.
const FAULTS: &[(&str, &str)] = &[
    ("openat", "error=EMFILE"),
    ("openat", "error=ENOMEM"),
    ("openat", "error=ENOSPC"),
    ("write", "error=ENOSPC"),
    ("write", "error=EIO"),
    ("pwrite64", "error=ENOSPC"),
    ("pwrite64", "error=EIO"),
    ("pread64", "error=EIO"),
    ("ftruncate", "error=ENOSPC"),
    ("fallocate", "error=ENOSPC"),
    ("copy_file_range", "error=EIO"),
    ("fsync", "error=EIO"),
    ("fsync", "delay_enter=100000"),
    ("fdatasync", "error=EIO"),
    ("fdatasync", "delay_enter=100000"),
    ("rename", "error=EIO"),
    ("rename", "error=ENOSPC"),
    ("mkdir", "error=ENOSPC"),
    ("unlink", "error=EIO"),
];

/// Which of the calls fail.
const TIMES: [&str; 3] = ["1", "2", "3+4"];

/// Runs the test `name`, with `variable` naming the first of `paths`, once for each fault, which hits calls about any of `paths` alone; `check` looks at
/// what came of it. How many runs were hit.
fn strike(name: &str, variable: &str, paths: &[&Path], check: impl Fn(&str, &Output)) -> usize {
    let mut hits = 0;
    for (call, fault) in FAULTS {
        for times in TIMES {
            let inject = format!("inject={call}:{fault}:when={times}");
            let mut options = vec!["-e", &inject];
            for path in paths {
                options.extend(["-P", path.to_str().unwrap()]);
            }
            let mut traced = strace::traced(options, name);
            traced.command.env(variable, paths[0]);
            let (trace, output) = traced.run();
            hits += usize::from(trace.contains("(INJECTED)") || trace.contains("(DELAYED)"));
            check(&inject, &output);
        }
    }
    hits
}
