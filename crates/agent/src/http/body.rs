//! Bodies: bounded JSON in, lines of JSON out, archives through.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use futures_util::stream::Stream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Frame, SizeHint};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// The largest JSON document that is read, in bytes.
const DOCUMENT_LEN_MAX: usize = 512 << 10;

/// A JSON document; an empty body is an empty object.
pub struct Document<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Document<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let limited = Limited::new(request.into_body(), DOCUMENT_LEN_MAX);
        let bytes = limited.collect().await.map_err(|error| {
            let why = if error.is::<LengthLimitError>() {
                "is too large"
            } else {
                "did not arrive whole"
            };
            Refusal::invalid(format!(
                "the request's body {why}: at most {} KiB are read",
                DOCUMENT_LEN_MAX >> 10
            ))
        })?;
        parse(&bytes.to_bytes()).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let text = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(text)
        .map_err(|error| Refusal::invalid(format!("the request's body is not as it must be: {error}")))
}

/// A body of one JSON document per line, as they come.
pub fn lines<T: Serialize + Send + 'static>(items: impl Stream<Item = T> + Send + 'static) -> Body {
    use futures_util::StreamExt;
    Body::from_stream(items.filter_map(|item| async move {
        // What we answer with is plain data, and always has a JSON form.
        let mut line = serde_json::to_vec(&item).ok()?;
        line.push(b'\n');
        Some(Ok::<_, Infallible>(Bytes::from(line)))
    }))
}

/// `inner`, with `companion` kept until the body was sent or dropped.
pub fn kept_with<T: Send + Unpin + 'static>(inner: Body, companion: T) -> Body {
    Body::new(Kept {
        inner,
        _companion: companion,
    })
}

struct Kept<T> {
    inner: Body,
    _companion: T,
}

impl<T: Unpin> HttpBody for Kept<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
