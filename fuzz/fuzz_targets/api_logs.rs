//! Requests of CloudWatch Logs: names, filter patterns, documents.
#![no_main]

use api::logs::request::{FilterLogEvents, parse};
use api::logs::{arn, pattern};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = parse::<FilterLogEvents>(bytes)
        && let Ok(pattern) = pattern::parse(request.filter_pattern.as_deref().unwrap_or_default())
    {
        let _ = pattern.matches("an event");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(pattern) = pattern::parse(text) {
        let _ = pattern.matches(text);
    }
    if let Ok(group) = arn::parse(text) {
        assert_eq!(arn::parse(&arn::of_group("us-east-1", &group)), Ok(group));
    }
});
