//! What happened on the host: the last of it, and what is still to happen, for everybody who asks.
//!
//! [`Journal`] keeps events and wakes those who follow; nobody who follows ever delays what happens. [`tasks`] tells what the change of a task's
//! record means, [`images`] tells of images, [`file`] keeps the events through restarts, [`http`] serves them.

pub mod file;
pub mod http;
pub mod images;
pub mod tasks;

mod journal;

pub use journal::{Follower, Journal, KEPT_MAX, Next, event};
