//! References: the whole form and the short one stand for the same.
#![no_main]

use image::reference::{NAME_LEN_MAX, Reference, TAG_LEN_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = Reference::parse(text) {
        assert!(reference.domain().len() + 1 + reference.path().len() <= NAME_LEN_MAX);
        assert!(reference.tag().is_none_or(|tag| tag.len() <= TAG_LEN_MAX));
        assert!(reference.tag().is_some() || reference.digest().is_some());
        assert_eq!(Reference::parse(&reference.to_string()).as_ref(), Ok(&reference));
        assert_eq!(Reference::parse(&reference.familiar()).as_ref(), Ok(&reference));
    }
});
