//! What carries a client's connections.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection to a host agent.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A connection in the making.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Transport>>> + Send>>;

/// Makes a connection to the host agent.
pub type Connect = Arc<dyn Fn() -> Connecting + Send + Sync>;

/// Connections to the unix socket at `path`.
pub(super) fn unix(path: PathBuf) -> Connect {
    Arc::new(move || {
        let path = path.clone();
        Box::pin(async move {
            let stream = tokio::net::UnixStream::connect(path).await?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    })
}

/// Connections to the TCP address `HOST:PORT`.
pub(super) fn tcp(address: String) -> Connect {
    Arc::new(move || {
        let address = address.clone();
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            // Frames are small and somebody waits for them.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    })
}
