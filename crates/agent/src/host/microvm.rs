//! A running microVM: its VMM's process, the guest agent's connections, and the one place where all of them end.

use std::path::Path;
use std::sync::Arc;

use protocol::guest::{CONTROL_PORT, STREAM_PORT, Stream, ToGuest};
use protocol::vmm;
use tokio::net::UnixListener;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;

use super::cgroup::Cgroup;
use super::process::{self, ProcessError, VmmProcess};
use super::{Input, Plan, guest, streams};
use crate::config::Config;
use crate::lifecycle::Event;
use crate::output::Outlets;
use crate::task::Notice;

/// Messages that wait for a guest agent: one that takes none is not waited for.
const MESSAGES_MAX: usize = 32;

/// The guest's vsock address. Every microVM has a device of its own, so all have the same.
const GUEST_CID: u32 = 3;

/// What a microVM is made from.
pub struct Parts<'a> {
    /// Where kernel, initramfs and VMM are.
    pub config: &'a Config,
    /// What it is to be.
    pub plan: &'a Plan,
    /// Where its sockets go.
    pub directory: &'a Path,
    /// Its scratch disk.
    pub scratch: &'a Path,
    /// What its process is put into.
    pub cgroup: &'a dyn Cgroup,
    /// Where the container's output goes.
    pub outlets: Arc<Outlets>,
    /// Where its input comes from.
    pub input: Option<mpsc::Receiver<Input>>,
    /// Where events go: from a successful start on, exactly one [`Event::StreamsEnded`] and one [`Event::MicrovmEnded`].
    pub notices: mpsc::Sender<Notice>,
}

/// A microVM. Dropping it ends it without a word.
pub struct Microvm {
    messages: mpsc::Sender<ToGuest>,
    kill: Arc<Notify>,
    supervision: AbortHandle,
}

impl Microvm {
    /// Hands a message to the guest agent's connection; `false` where the guest agent lets them pile up.
    ///
    /// A connection that has ended is no failure of its own: the microVM ends with it, and its end tells why.
    pub fn send(&self, message: ToGuest) -> bool {
        !matches!(self.messages.try_send(message), Err(TrySendError::Full(_)))
    }

    /// Ends the process. Its end is reported as any other.
    pub fn kill(&self) {
        self.kill.notify_one();
    }
}

impl Drop for Microvm {
    fn drop(&mut self) {
        self.supervision.abort();
    }
}

/// Starts one.
pub async fn start(parts: Parts<'_>) -> Result<Microvm, ProcessError> {
    let vsock = parts.directory.join("vsock");
    let listener = |port: u32| {
        let path = parts.directory.join(format!("vsock_{port}"));
        UnixListener::bind(&path).map_err(|source| ProcessError::Socket { path, source })
    };
    // Before the VMM, so that a guest that is quick finds somebody.
    let (control_listener, stream_listener) = (listener(CONTROL_PORT)?, listener(STREAM_PORT)?);
    let config = vmm_config(&parts, vsock);
    let process = process::start(&parts.config.vmm, config, parts.directory, parts.cgroup).await?;

    let (messages, outbound) = mpsc::channel(MESSAGES_MAX);
    let (connected, streams_connected) = watch::channel(false);
    let (gone, is_gone) = watch::channel(false);
    let control = guest::Control {
        listener: control_listener,
        messages: outbound,
        streams_connected,
        gone: is_gone.clone(),
        notices: parts.notices.clone(),
    };
    let streams = streams::Streams {
        listener: stream_listener,
        expected: expected_streams(parts.plan),
        stdin: parts.plan.spec.container.stdin,
        outlets: parts.outlets,
        input: parts.input,
        messages: messages.clone(),
        connected,
        gone: is_gone,
        notices: parts.notices.clone(),
    };
    let kill = Arc::new(Notify::new());
    // Not within the supervision: a client may hold output back for longer than the microVM lives.
    tokio::spawn(streams::serve(streams));
    let supervision = tokio::spawn(supervise(process, control, kill.clone(), gone, parts.notices)).abort_handle();
    Ok(Microvm {
        messages,
        kill,
        supervision,
    })
}

/// Waits for the end of a VMM, and for everything that it sent before.
async fn supervise(
    process: VmmProcess,
    control: guest::Control,
    kill: Arc<Notify>,
    gone: watch::Sender<bool>,
    notices: mpsc::Sender<Notice>,
) {
    let VmmProcess {
        mut child,
        control: events,
        stderr,
    } = process;
    let wait = async {
        let status = tokio::select! {
            status = child.wait() => status,
            () = kill.notified() => {
                // Fails only where the process has ended already.
                let _ = child.start_kill();
                child.wait().await
            }
        };
        gone.send_replace(true);
        status
    };
    // The process's end closes all its connections; what is in them still counts, so all are read to their ends.
    let (status, ended, stderr, ()) = tokio::join!(
        wait,
        process::follow(events, notices.clone()),
        process::last_lines(stderr),
        guest::serve(control),
    );
    let message = process::ending(status, ended, &stderr);
    // A task that is over takes no notices.
    let _ = notices.send(Notice::Event(Event::MicrovmEnded(message))).await;
}

/// The slots, in the order of the numbers in [`crate::spec`].
fn vmm_config(parts: &Parts<'_>, vsock: std::path::PathBuf) -> vmm::Config {
    let plan = parts.plan;
    vmm::Config {
        kernel: parts.config.kernel.clone(),
        initramfs: parts.config.initramfs.clone(),
        command_line: String::new(),
        vcpus: plan.sizing.vcpus,
        memory_mib: plan.sizing.guest_memory_mib,
        slots: vec![
            vmm::Device::Vsock {
                guest_cid: GUEST_CID,
                socket: vsock,
            },
            vmm::Device::BlockConcatenation {
                parts: plan.rootfs.parts.clone(),
            },
            vmm::Device::BlockFile {
                path: parts.scratch.to_owned(),
            },
            vmm::Device::Rng,
        ],
        control: vmm::Control::Path(parts.directory.join("control")),
        serial: parts
            .config
            .consoles
            .as_ref()
            .map(|directory| directory.join(format!("{}.log", plan.id))),
    }
}

fn expected_streams(plan: &Plan) -> Vec<Stream> {
    let container = &plan.spec.container;
    match (container.terminal, container.stdin) {
        (Some(_), _) => vec![Stream::Terminal],
        (None, true) => vec![Stream::Stdin, Stream::Stdout, Stream::Stderr],
        (None, false) => vec![Stream::Stdout, Stream::Stderr],
    }
}
