//! Tasks.

mod answer;
mod overrides;
mod request;

pub use answer::{
    Container, DescribeTasksAnswer, ListTasksAnswer, ManagedAgent, NetworkBinding, NetworkInterface, ProtectedTask,
    RunTaskAnswer, StopTaskAnswer, Task, TaskProtectionAnswer,
};
pub use overrides::{ContainerOverride, TaskOverride};
pub use request::{
    DESCRIBE_TASKS_MAX, DescribeTasksRequest, GetTaskProtectionRequest, ListTasksRequest, RUN_COUNT_MAX,
    RunTaskRequest, StopTaskRequest, UpdateTaskProtectionRequest,
};
