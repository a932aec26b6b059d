//! The host agent: a daemon that owns the images and tasks of one host, and serves them over the API.
//!
//! It starts one VMM process per task and speaks with it, and with the guest agent in it, over unix sockets; it makes no KVM call.
//! Read [`lifecycle`] first: the life of a task as a pure function. [`spec`] and [`sizing`] decide what exactly runs and how big it is.
//! [`core`] leads tasks through their lives, on the [`host`] that performs them. [`record`] is what is stored of a task, [`ports`] what the core needs
//! of other parts. [`services`] keep tasks running, [`events`] and [`metrics`] tell what happens, [`openapi`] what can be asked. [`http`] is its outside, [`server`] the process around it.

#![deny(unsafe_code)]

pub mod activity;
pub mod arguments;
pub mod aws;
pub mod capacity;
pub mod channel;
pub mod clock;
pub mod config;
pub mod core;
pub mod credentials;
pub mod ecs;
pub mod events;
pub mod host;
pub mod host_paths;
pub mod http;
pub mod images;
pub mod launch;
pub mod lifecycle;
pub mod logs;
pub mod memory;
pub mod metadata;
pub mod metrics;
pub mod names;
pub mod network;
pub mod openapi;
pub mod output;
pub mod pool;
pub mod ports;
pub mod readiness;
pub mod record;
pub mod secrets;
pub mod sentence;
pub mod server;
pub mod services;
pub mod session;
pub mod sigv4;
pub mod sizing;
pub mod spec;
pub mod stats;
pub mod store;
pub mod system;
pub mod template;
pub mod usage;
