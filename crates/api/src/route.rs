//! The routes, as path templates: `{…}` stands for one path segment, percent-encoded.

/// Where the host agent listens unless told otherwise.
pub const SOCKET_PATH: &str = "/run/mote/mote.sock";

/// `GET`: [`crate::task::Version`].
pub const VERSION: &str = "/v1/version";

/// `GET`: [`crate::image::ImageList`].
pub const IMAGES: &str = "/v1/images";

/// `POST` [`crate::image::PullRequest`]: lines of [`crate::image::ImageEvent`].
pub const IMAGES_PULL: &str = "/v1/images/pull";

/// `POST` the bytes of an OCI or `docker save` archive: lines of [`crate::image::ImageEvent`]. `?name=` names an image that the archive does not name.
pub const IMAGES_LOAD: &str = "/v1/images/load";

/// `DELETE`: the name is dropped, and the image with its last name. The reference is one percent-encoded segment.
pub const IMAGE: &str = "/v1/images/{reference}";

/// `GET`: [`crate::template::TemplateList`]. `POST` [`crate::template::BuildRequest`]: answers with the [`crate::template::Template`] once it is ready.
pub const TEMPLATES: &str = "/v1/templates";

/// `DELETE`: the template is removed; running clones of it go on. By its key or a unique beginning of that.
pub const TEMPLATE: &str = "/v1/templates/{template}";

/// `GET`: [`crate::stats::StatsList`].
pub const STATS: &str = "/v1/stats";

/// `GET`: [`crate::task::TaskList`]. `POST` [`crate::task::RunRequest`]: the created [`crate::task::Task`], which waits to be started.
pub const TASKS: &str = "/v1/tasks";

/// `GET`: [`crate::task::Task`], by id, unique prefix of it, or name. `DELETE`: a stopped task is forgotten.
pub const TASK: &str = "/v1/tasks/{task}";

/// `POST`: a created task is started.
pub const TASK_START: &str = "/v1/tasks/{task}/start";

/// `POST` with `Upgrade: mote-attach`: the connection turns into a stream of [`crate::attach`] frames, and a created task is started.
pub const TASK_ATTACH: &str = "/v1/tasks/{task}/attach";

/// `GET`: [`crate::stats::TaskStats`].
pub const TASK_STATS: &str = "/v1/tasks/{task}/stats";

/// `POST` [`crate::task::RunRequest`] with `Upgrade: mote-attach`: all of [`TASKS`], [`TASK_ATTACH`] in one. The answer names the task in [`TASK_HEADER`].
pub const RUN: &str = "/v1/run";

/// The header that carries a task's id.
pub const TASK_HEADER: &str = "mote-task";

/// The protocol's name in the `Upgrade` header.
pub const ATTACH_PROTOCOL: &str = "mote-attach";

/// `POST` [`crate::task::StopRequest`]: the stop signal, then, after the time given, a kill. Answers once the task has stopped.
pub const TASK_STOP: &str = "/v1/tasks/{task}/stop";
