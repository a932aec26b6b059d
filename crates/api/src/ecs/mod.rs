//! The wire protocol of Amazon ECS, as far as one host can honour it: documents, errors, names.
//!
//! AWS JSON 1.1: `POST /` with the operation in [`TARGET_HEADER`], a JSON document in, a JSON document out. [`members`] says of every
//! member of every request what becomes of it, and checks requests; what it lets through fits the types of [`clusters`],
//! [`definitions`], [`tasks`], [`services`], [`tags`], [`account`] and [`exec`]. [`shapes`] has what those share, [`arn`] the names, [`page`] the
//! tokens of lists, [`error`] the refusals.

pub mod account;
pub mod arn;
pub mod clusters;
pub mod containers;
pub mod definitions;
pub mod error;
pub mod exec;
pub mod json;
pub mod members;
pub mod page;
pub mod services;
pub mod shapes;
pub mod tags;
pub mod tasks;

/// The header that names the operation.
pub const TARGET_HEADER: &str = "x-amz-target";

/// What comes before the operation's name in [`TARGET_HEADER`], for ECS.
pub const TARGET_PREFIX: &str = "AmazonEC2ContainerServiceV20141113.";

/// What comes there for CloudWatch Logs.
pub const LOGS_TARGET_PREFIX: &str = "Logs_20140328.";

/// The media type of requests and answers.
pub const MEDIA_TYPE: &str = "application/x-amz-json-1.1";

/// The most bytes that a request's body may have.
pub const REQUEST_LEN_MAX: usize = 1 << 20;
