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

/// `POST` [`crate::image::SaveRequest`]: an OCI archive of these images, with the digests that they came with.
pub const IMAGES_SAVE: &str = "/v1/images/save";

/// `POST` [`crate::image::LoginRequest`]: signs in to a registry, and keeps that in the Docker configuration of the host agent's user. On the unix socket alone.
pub const REGISTRY_LOGIN: &str = "/v1/registries/login";

/// `POST` [`crate::image::LogoutRequest`]: [`crate::image::LoggedOut`]. On the unix socket alone.
pub const REGISTRY_LOGOUT: &str = "/v1/registries/logout";

/// `DELETE`: the name is dropped, and the image with its last name. The reference is one percent-encoded segment.
pub const IMAGE: &str = "/v1/images/{reference}";

/// `GET`: [`crate::template::TemplateList`]. `POST` [`crate::template::BuildRequest`]: answers with the [`crate::template::Template`] once it is ready.
pub const TEMPLATES: &str = "/v1/templates";

/// `DELETE`: the template is removed; running clones of it go on. By its key or a unique beginning of that.
pub const TEMPLATE: &str = "/v1/templates/{template}";

/// `GET`: [`crate::network::NetworkList`]. `POST` [`crate::network::CreateNetwork`]: the new [`crate::network::Network`].
pub const NETWORKS: &str = "/v1/networks";

/// `GET`: [`crate::network::Network`]. `DELETE`: the network is gone; refused while a task is in it.
pub const NETWORK: &str = "/v1/networks/{network}";

/// `GET`: [`crate::stats::StatsList`].
pub const STATS: &str = "/v1/stats";

/// `GET` with [`crate::usage::UsageQuery`]: [`crate::usage::UsageList`].
pub const USAGE: &str = "/v1/usage";

/// `GET`: [`crate::task::TaskList`]. `POST` [`crate::task::RunRequest`]: the created [`crate::task::Task`], which waits to be started.
pub const TASKS: &str = "/v1/tasks";

/// `GET`: [`crate::task::Task`], by id, unique prefix of it, or name. `DELETE`: a stopped task is forgotten.
pub const TASK: &str = "/v1/tasks/{task}";

/// `POST`: a created task is started.
pub const TASK_START: &str = "/v1/tasks/{task}/start";

/// `POST` with `Upgrade: mote-attach`: the connection turns into a stream of [`crate::attach`] frames, and a created task is started.
/// `?container=` attaches to one container; without, it is the first essential one.
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

/// `POST` [`crate::task::SignalRequest`]: the signal, and nothing else. Answers with 204 once the guest was told.
pub const TASK_SIGNAL: &str = "/v1/tasks/{task}/signal";

/// `POST` [`crate::exec::ExecRequest`] with `Upgrade: mote-attach`: a further process in a container; the connection turns into a stream of
/// [`crate::attach`] frames, the last of which is [`crate::attach::Frame::Exited`].
pub const TASK_EXEC: &str = "/v1/tasks/{task}/exec";

/// `GET` with [`crate::task::WaitQuery`]: the [`crate::task::Task`], once it is as far.
pub const TASK_WAIT: &str = "/v1/tasks/{task}/wait";

/// `GET`: [`crate::exec::ProcessList`]. `?container=` asks for one container's.
pub const TASK_PROCESSES: &str = "/v1/tasks/{task}/processes";

/// `GET` with [`crate::output::LogsQuery`]: lines of [`crate::output::LogLine`].
pub const TASK_LOGS: &str = "/v1/tasks/{task}/logs";

/// `GET` with [`crate::event::EventsQuery`]: lines of [`crate::event::Event`].
pub const EVENTS: &str = "/v1/events";

/// `GET`: [`crate::system::System`].
pub const SYSTEM: &str = "/v1/system";

/// `GET`: [`crate::system::DiskUse`].
pub const SYSTEM_DF: &str = "/v1/system/df";

/// `POST` [`crate::system::PruneRequest`]: [`crate::system::Pruned`].
pub const SYSTEM_PRUNE: &str = "/v1/system/prune";

/// `GET`: [`crate::identity::AccessKeyList`]. `POST` [`crate::identity::CreateAccessKey`]: the new [`crate::identity::AccessKey`]. On the unix socket alone.
pub const CREDENTIALS: &str = "/v1/credentials";

/// `DELETE`: the access key of that id is no longer known. On the unix socket alone.
pub const CREDENTIAL: &str = "/v1/credentials/{id}";

/// `GET`: [`crate::identity::SecretList`]. `POST` [`crate::identity::PutSecret`]: its [`crate::identity::SecretSummary`]. On the unix socket alone.
pub const SECRETS: &str = "/v1/secrets";

/// `DELETE`: the secret of that name is gone. On the unix socket alone.
pub const SECRET: &str = "/v1/secrets/{name}";

/// `GET`: metrics in Prometheus' text format.
pub const METRICS: &str = "/metrics";

/// `GET`: [`crate::system::HealthReport`]: whether the host agent works.
pub const HEALTHZ: &str = "/healthz";

/// `GET`: [`crate::system::HealthReport`]: whether tasks can be started.
pub const READYZ: &str = "/readyz";

/// `GET`: all of this as an `OpenAPI` document.
pub const OPENAPI: &str = "/v1/openapi.json";

/// `POST` with `X-Amz-Target`: the calls of Amazon ECS and `CloudWatch` Logs.
pub const AWS: &str = "/";

/// The service that requests to mote's own routes are signed for.
const OWN_SERVICE: &str = "mote";

/// The service that a request to `path` is signed for, over TCP; `target` is what its [`crate::ecs::TARGET_HEADER`] says, if anything.
#[must_use]
pub fn service(path: &str, target: &str) -> &'static str {
    match path {
        AWS if target.starts_with(crate::ecs::TARGET_PREFIX) => "ecs",
        AWS if target.starts_with(crate::ecs::LOGS_TARGET_PREFIX) => "logs",
        _ => OWN_SERVICE,
    }
}
