//! Images from registries and archives into the store: what must work, and what must be refused without a trace.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod archives;
mod costs;
mod crashes;
mod docker_registry;
mod fake_registry;
mod integrity;
mod keeping;
mod mirrors;
mod proxies;
mod pulls;
mod refusals;
mod sample;
mod signing_in;
mod strace;
mod traced;
mod world;
