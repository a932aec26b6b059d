//! Manifests and indexes: the limits hold, and what is chosen of an index is for whom it was asked.
#![no_main]

use image::manifest::{LAYER_LEN_MAX, LAYERS_MAX, Manifest, parse};
use image::platform::Platform;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| match parse(bytes) {
    Ok(Manifest::Image(image)) => {
        assert!(image.layers.len() <= LAYERS_MAX);
        assert!(image.layers.iter().all(|layer| layer.size_bytes <= LAYER_LEN_MAX));
    }
    Ok(Manifest::Index(index)) => {
        let wanted = Platform::host();
        match index.choose(&wanted) {
            Ok(chosen) => {
                assert!(chosen.platform.as_ref().is_none_or(|offered| wanted.accepts(offered)));
                assert!(index.manifests.contains(chosen));
            }
            Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
        }
    }
    Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
});
