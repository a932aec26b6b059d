//! What a request carries.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame};
use serde::Serialize;
use tokio::io::{AsyncRead, ReadBuf};

use super::{BodyExt, Full};

/// Bytes of a stream that are sent at once.
const CHUNK_LEN: usize = 64 << 10;

/// The bytes of a request.
pub(super) type OutgoingBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// The body of a request and what it says about itself.
pub(super) struct Outgoing {
    pub(super) body: OutgoingBody,
    pub(super) content_type: Option<&'static str>,
    pub(super) upgrade: bool,
    pub(super) target: Option<String>,
    /// All of the body, where it is known.
    pub(super) bytes: Option<Bytes>,
}

impl Outgoing {
    pub(super) fn empty() -> Self {
        Self {
            body: whole(Bytes::new()),
            content_type: None,
            upgrade: false,
            target: None,
            bytes: Some(Bytes::new()),
        }
    }

    /// The same, with the wish to turn the connection into an attached task's.
    pub(super) fn upgrading(self) -> Self {
        Self { upgrade: true, ..self }
    }

    pub(super) fn json(value: &impl Serialize) -> Self {
        // The API's own documents have string keys and no failing serializers: nothing that JSON cannot hold.
        let bytes = Bytes::from(serde_json::to_vec(value).unwrap_or_default());
        Self {
            body: whole(bytes.clone()),
            content_type: Some("application/json"),
            upgrade: false,
            target: None,
            bytes: Some(bytes),
        }
    }

    /// A call of AWS's JSON protocols.
    pub(super) fn aws(target: String, request: &impl Serialize) -> Self {
        Self {
            content_type: Some(crate::ecs::MEDIA_TYPE),
            target: Some(target),
            ..Self::json(request)
        }
    }

    pub(super) fn stream(reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let body = ReaderBody {
            reader,
            buffer: vec![0; CHUNK_LEN],
        }
        .boxed_unsync();
        Self {
            body,
            content_type: Some("application/x-tar"),
            upgrade: false,
            target: None,
            bytes: None,
        }
    }
}

fn whole(bytes: Bytes) -> OutgoingBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A reader as a chunked body.
struct ReaderBody<R> {
    reader: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Body for ReaderBody<R> {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let Self { reader, buffer } = self.get_mut();
        let mut read = ReadBuf::new(buffer);
        match Pin::new(reader).poll_read(context, &mut read) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Ok(())) if read.filled().is_empty() => Poll::Ready(None),
            Poll::Ready(Ok(())) => Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(read.filled()))))),
        }
    }
}
