//! Layouts and `docker save` archives: every image that is offered is found by its label and begins at a blob that is there.
#![no_main]

use fuzz::scratch;
use fuzz::sealed::sealed;
use image::local::layout::parse_contents;
use image::local::{Local, LocalImage, Root};
use image::manifest::MANIFEST_LEN_MAX;
use image::reference::REFERENCE_LEN_MAX;
use libfuzzer_sys::fuzz_target;

fn check_images(images: &[LocalImage]) {
    assert!(!images.is_empty());
    for label in images.iter().flat_map(|image| &image.labels) {
        assert!(label.len() <= REFERENCE_LEN_MAX && label.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

fn check_archive(local: &Local) {
    check_images(&local.images);
    for image in &local.images {
        for label in &image.labels {
            assert!(local.select(Some(label)).is_ok());
        }
        if let Root::Blob(root) = &image.root {
            // What stands in an archive may lie: it may be missing, or of another size.
            let _ = local.blobs.read(root.digest, MANIFEST_LEN_MAX);
            let _ = local.blobs.open(root);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(images) = parse_contents(bytes) {
        check_images(&images);
    }
    let file = scratch::file(&sealed(bytes)).expect("a file in the directory for temporary ones");
    if let Ok(local) = Local::open_archive(file) {
        check_archive(&local);
    }
});
