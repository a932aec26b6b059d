//! Programs that the tests need.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// Runs a program that must succeed; answers what it printed.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> String {
    run_in(Path::new("."), program, arguments)
}

/// Runs a program in `directory`.
pub fn run_in<S: AsRef<OsStr>>(directory: &Path, program: &str, arguments: impl IntoIterator<Item = S>) -> String {
    let output = match Command::new(program).args(arguments).current_dir(directory).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => panic!("{program} is missing: run `make setup`"),
        Err(error) => panic!("cannot run {program}: {error}"),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{program} failed: {}\n{printed}{errors}",
        output.status
    );
    printed + &errors
}

/// Runs `fsck.erofs`, which must find no fault. Its exit status says nothing: Debian 12's is 0 for damaged images, too.
pub fn fsck(image: &Path, extract: &str) {
    let printed = run(
        "fsck.erofs",
        [OsStr::new("-d3"), OsStr::new(extract), image.as_os_str()],
    );
    let is_sound = printed.contains("No errors found") || printed.contains("Extracted filesystem successfully");
    assert!(
        is_sound && !printed.contains("<E>"),
        "fsck.erofs finds faults:\n{printed}"
    );
}
