//! What every process of a container gets unless told otherwise; the sets that come with it are in [`protocol::usual`].

/// The search path of a process whose image sets none.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The kind of terminal that a process with one is told of.
pub const TERM: &str = "xterm";
