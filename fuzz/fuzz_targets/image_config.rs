//! Image configurations: no text that a process gets holds a NUL, and what is kept of one reads back.
#![no_main]

use image::config::{ProcessConfig, parse};
use image::platform::Platform;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = parse(bytes) else { return };
    assert_eq!(Platform::parse(&config.platform.to_string()), Some(config.platform));
    assert!(config.created.bytes().all(|byte| byte.is_ascii_graphic()));
    let process = config.process;
    let texts = [&process.entrypoint, &process.cmd, &process.env, &process.volumes];
    assert!(!texts.into_iter().flatten().any(|text| text.contains('\0')));
    assert!(!process.working_dir.contains('\0') && !process.user.contains('\0'));
    let kept = serde_json::to_vec(&process).expect("nothing but texts and numbers");
    assert_eq!(
        serde_json::from_slice::<ProcessConfig>(&kept).expect("as written"),
        process
    );
});
