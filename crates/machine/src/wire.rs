//! What travels between the host and the machine's init: pure types and their bytes, no input or output.
//!
//! Two ways lead into a machine. Over the *control port* (a virtio-serial port) the host sends one line of JSON, the [`BootConfig`], and
//! the init answers with lines of JSON, its [`BootReport`]s. Over the *relay* (a TCP port reached through QEMU's user network) each
//! connection opens with the machine's [`Token`] and one [`Request`]; the init answers with one [`Response`], and what follows depends on
//! the request: [`frame`]s for an `Exec`, plain bytes for a `Connect`, nothing for a `Shutdown`.

pub mod boot;
pub mod frame;
pub mod request;

pub use boot::{BootConfig, BootReport};
pub use frame::{ClientFrame, FrameError, ServerFrame};
pub use request::{ExecRequest, Refusal, Request, RequestError, Response, TerminalSize};

/// The relay's TCP port inside the machine.
pub const RELAY_PORT: u16 = 1;
/// The name of the control port, as the init finds it under `/sys/class/virtio-ports`.
pub const CONTROL_PORT: &str = "mote.control";
/// The virtiofs tag of the host's root directory.
pub const HOST_ROOT_TAG: &str = "hostroot";

/// Length of a [`Token`] in bytes.
pub const TOKEN_LEN: usize = 32;

/// The secret that opens the relay: random for each start of a machine, so that other users of the host's loopback stay out.
pub type Token = [u8; TOKEN_LEN];

/// Compares without leaving early: the time taken says nothing about where two tokens differ.
pub fn tokens_equal(left: &Token, right: &Token) -> bool {
    left.iter()
        .zip(right)
        .fold(0, |difference, (a, b)| difference | (a ^ b))
        == 0
}

/// The virtiofs tag of the shared directory with this index.
pub fn share_tag(index: usize) -> String {
    format!("share{index}")
}
