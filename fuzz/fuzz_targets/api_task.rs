//! Bodies of requests to mote's own API: what is read writes and reads back.
#![no_main]

use api::exec::ExecRequest;
use api::identity::{CreateAccessKey, PutSecret};
use api::image::{LoginRequest, LogoutRequest, PullRequest, SaveRequest};
use api::network::CreateNetwork;
use api::system::PruneRequest;
use api::task::{RunRequest, SignalRequest, StopRequest};
use api::template::BuildRequest;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn check<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
    let Ok(body) = serde_json::from_slice::<T>(bytes) else {
        return;
    };
    let written = serde_json::to_value(&body).expect("a body that was read");
    let again =
        serde_json::from_value::<T>(written.clone()).unwrap_or_else(|error| panic!("a body that was written: {error}"));
    assert_eq!(serde_json::to_value(&again).expect("the same body"), written);
}

fuzz_target!(|bytes: &[u8]| {
    check::<RunRequest>(bytes);
    check::<StopRequest>(bytes);
    check::<SignalRequest>(bytes);
    check::<ExecRequest>(bytes);
    check::<CreateNetwork>(bytes);
    check::<PullRequest>(bytes);
    check::<LoginRequest>(bytes);
    check::<LogoutRequest>(bytes);
    check::<SaveRequest>(bytes);
    check::<CreateAccessKey>(bytes);
    check::<PutSecret>(bytes);
    check::<BuildRequest>(bytes);
    check::<PruneRequest>(bytes);
});
