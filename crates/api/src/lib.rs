//! The contract with the outside: what the host agent's API accepts and answers, and a client for it.
//!
//! HTTP/1.1 with JSON bodies over a unix socket that trusts its file mode. This is the small API of mote's own, for what
//! Amazon ECS's protocol has no word for; the routes are listed in [`route`]. Read [`task`] and [`image`] for the
//! documents, [`network`] for what tasks share, [`exec`] and [`output`] for what goes on in a task, [`stats`], [`template`], [`event`] and [`system`] for what the host says of itself,
//! [`identity`] for who may ask, [`error`] for what a refusal looks like, [`attach`] for the stream of a running task, then [`client`];
//! [`sigv4`] and [`calendar`] are what both ends must agree on.

#![forbid(unsafe_code)]

pub mod attach;
pub mod calendar;
pub mod client;
pub mod ecs;
pub mod error;
pub mod event;
pub mod exec;
pub mod identity;
pub mod image;
pub mod logs;
pub mod network;
pub mod output;
pub mod route;
pub mod sigv4;
pub mod stats;
pub mod system;
pub mod task;
pub mod template;
pub mod usage;
