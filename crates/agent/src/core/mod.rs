//! The tasks' core: leads tasks through their lives.
//!
//! [`request`] is what others ask of it.

mod request;

pub use request::{CoreError, ExecRequest, NewTask, Resource, StopTask};
