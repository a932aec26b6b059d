//! The operations on tasks.

mod describe;
mod list;
mod new;
mod protection;
mod run;
mod stop;

pub use describe::describe;
pub use new::{ServiceTask, new_task_for_service};
pub use run::Runs;
