//! Task definitions: what is registered, and the plans of tasks that are made of it.
//!
//! [`normalise`] fills in what ECS fills in. [`plan`] makes a task's plan of a definition and what its request changes, or says what is wrong:
//! both are pure. [`size`] reads and writes CPU and memory, [`container`] plans one container, [`sources`] finds secrets and files.

mod container;
mod defaults;
mod order;
mod plan;
mod size;
mod sources;
#[cfg(test)]
mod tests;

pub use defaults::normalise;
pub use plan::{Options, plan};
pub use size::{Size, cpu_text, size};
pub use sources::HostPaths;
