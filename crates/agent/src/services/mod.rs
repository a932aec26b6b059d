//! Services: so many tasks of a definition that run at all times, and their deployments.
//!
//! What is decided is a pure function of a service, its tasks and the time. [`service`] is what is stored of one, [`request`] what clients change
//! of it, [`planner`] what follows: tasks to start, tasks to stop, and the service as it then is. [`account`] judges tasks that ended, [`policy`] how
//! many there may be, [`journal`] has the sentences that clients read, [`view`] makes of a task's record what a service minds.
//! [`driver`] carries that out, on what [`outside`] asks of the rest of the host agent; [`operations`] are what
//! clients call.

pub mod account;
pub mod driver;
pub mod journal;
mod keeper;
pub mod operations;
pub mod outside;
pub mod planner;
pub mod policy;
pub mod request;
pub mod service;
pub mod view;

pub use driver::{Counts, ServiceError, Services, Surroundings};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
