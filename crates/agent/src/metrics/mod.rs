//! What Prometheus reads: figures of the host agent and its tasks.
//!
//! [`Metrics`] counts what happens, as it happens: starts, stops, requests. What simply is (tasks by state, capacity, what each task uses) is [`readings`],
//! asked of [`host`] when somebody reads, and written beside it by [`figures`]. [`process`] is the host agent's own process, [`http`] and [`listener`] serve all of it, [`health`]
//! tells whether all is well.

mod figures;
pub mod health;
pub mod host;
pub mod http;
mod labels;
pub mod listener;
pub mod process;
pub mod readings;

mod counting;

pub use counting::{Metrics, Outcome};
