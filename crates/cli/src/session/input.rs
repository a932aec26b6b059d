//! What a person types, and the size of what they see, on its way to a task.

use anyhow::{Context, Result};
use api::attach::Frame;
use api::client::AttachedWriter;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Connected;
use super::keys::DetachKeys;
use crate::terminal;

/// Bytes of input that are sent at once.
const INPUT_LEN: usize = 32 << 10;

/// Sends input, window sizes and `further` frames until nothing takes them any more. Returns when the person leaves.
pub(super) async fn relay(
    mut writer: AttachedWriter,
    connected: Connected,
    mut further: mpsc::Receiver<Frame>,
) -> Result<()> {
    let mut resized = signal(SignalKind::window_change()).context("cannot listen for signals")?;
    let mut stdin = tokio::io::stdin();
    let mut keys = (connected.tty && connected.input).then(DetachKeys::default);
    let mut buffer = vec![0; INPUT_LEN];
    let mut is_open = connected.input;
    loop {
        let frame = tokio::select! {
            read = stdin.read(&mut buffer), if is_open => {
                let len = read.unwrap_or(0);
                is_open = len > 0;
                if !is_open {
                    Frame::StdinEnd
                } else if let Some(keys) = &mut keys {
                    let typed = keys.typed(&buffer[..len]);
                    if !typed.input.is_empty() {
                        writer.send(&Frame::Stdin(typed.input)).await?;
                    }
                    if typed.leaves {
                        return writer.send(&Frame::Detach).await.context("cannot tell the task that nobody is there");
                    }
                    continue;
                } else {
                    Frame::Stdin(buffer[..len].to_vec())
                }
            }
            _ = resized.recv() => match terminal::size() {
                Some(size) => Frame::Resize(size),
                None => continue,
            },
            Some(frame) = further.recv() => frame,
        };
        writer.send(&frame).await?;
    }
}
