//! Answers of one JSON document per line, as they come.

use std::marker::PhantomData;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::body::Outgoing;
use super::{ANSWER_LEN_MAX, Client, ClientError, answer};

impl Client {
    /// Sends a request whose answer comes in lines.
    pub(super) async fn lines<T>(&self, method: Method, path: &str, body: Outgoing) -> Result<Lines<T>, ClientError> {
        let operation = format!("{method} {path}");
        let body = self.send(method, path, body).await?.into_body();
        Ok(Lines {
            operation,
            body,
            pending: BytesMut::new(),
            searched_len: 0,
            document: PhantomData,
        })
    }
}

/// Documents that come one after the other.
pub struct Lines<T> {
    operation: String,
    body: Incoming,
    pending: BytesMut,
    // How much of it is known to hold no line end.
    searched_len: usize,
    document: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    /// The next document; `None` where the host agent has no more. Dropping the future loses none.
    ///
    /// # Errors
    /// [`ClientError`] where the connection fails or carries something else.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(line) = take_line(&mut self.pending, &mut self.searched_len) {
                let document = serde_json::from_slice(&line);
                return document
                    .map(Some)
                    .map_err(|error| answer(&self.operation, &error.to_string()));
            }
            if self.pending.len() > ANSWER_LEN_MAX {
                return Err(answer(&self.operation, "a line is too long"));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|source| ClientError::Http {
                operation: self.operation.clone(),
                source,
            })?;
            if let Some(bytes) = frame.data_ref() {
                self.pending.extend_from_slice(bytes);
            }
        }
    }
}

/// Takes the first line off, where it is whole.
fn take_line(pending: &mut BytesMut, searched_len: &mut usize) -> Option<BytesMut> {
    let found = pending[*searched_len..].iter().position(|&byte| byte == b'\n');
    let Some(len) = found else {
        *searched_len = pending.len();
        return None;
    };
    let line = pending.split_to(*searched_len + len);
    pending.advance(1);
    *searched_len = 0;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_they_come_in() {
        let (mut pending, mut searched_len) = (BytesMut::new(), 0);
        let mut lines = Vec::new();
        for piece in ["{", "}\n[]", "\n", "1\n2\n3"] {
            pending.extend_from_slice(piece.as_bytes());
            while let Some(line) = take_line(&mut pending, &mut searched_len) {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        assert_eq!(lines, ["{}", "[]", "1", "2"]);
        assert_eq!(&pending[..], b"3");
    }
}
