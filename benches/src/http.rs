//! As much of HTTP as is needed for one request after the other over a unix socket, and no more of the client's time than that.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The longest answer that is read, in bytes.
const ANSWER_LEN_MAX: u64 = 16 << 20;

/// The media type of the requests that [`Connection::send`] sends.
const JSON: &str = "application/json";

/// A connection.
pub struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Connects to the socket at `path`, which has just been made.
    pub fn open(path: &Path) -> Result<Self> {
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => return Ok(Self(BufReader::new(stream))),
                // The file is there a moment before its owner listens.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::thread::yield_now(),
                Err(error) => return Err(error).with_context(|| format!("cannot connect to {}", path.display())),
            }
        }
    }

    /// Sends a request with a JSON body; an answer that is no success is an error.
    pub fn send(&mut self, method: &str, path: &str, body: &serde_json::Value) -> Result<()> {
        self.call(
            &format!("{method} {path}"),
            &[("Content-Type", JSON)],
            &body.to_string(),
        )
        .map(drop)
    }

    /// Sends a request, `METHOD PATH`, and waits for the answer's body; an answer that is no success is an error.
    pub fn call(&mut self, request: &str, headers: &[(&str, &str)], body: &str) -> Result<String> {
        let mut text = format!("{request} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in headers {
            // Writing to a String cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
        self.0
            .get_mut()
            .write_all(text.as_bytes())
            .context("cannot send a request")?;
        let (status, answer) = read_answer(&mut self.0)?;
        if !(200..300).contains(&status) {
            bail!("{request} was refused with {status}: {answer}");
        }
        Ok(answer)
    }
}

/// Reads one answer: its status and its body.
fn read_answer(from: &mut impl BufRead) -> Result<(u16, String)> {
    let mut from = from.take(ANSWER_LEN_MAX);
    let mut line = String::new();
    from.read_line(&mut line).context("cannot read an answer")?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("an answer begins with {line:?}"))?;
    let mut len = 0;
    loop {
        line.clear();
        from.read_line(&mut line).context("cannot read an answer")?;
        match line.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                len = value.trim().parse().context("an answer's length is no number")?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = String::new();
    from.take(len)
        .read_to_string(&mut body)
        .context("cannot read an answer")?;
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_follow_each_other() {
        let mut bytes = b"HTTP/1.1 400 \r\nContent-Length: 4\r\n\r\noopsHTTP/1.1 204 \r\nServer: x\r\n\r\n".as_slice();
        assert_eq!(read_answer(&mut bytes).unwrap(), (400, "oops".to_owned()));
        assert_eq!(read_answer(&mut bytes).unwrap(), (204, String::new()));
        assert!(read_answer(&mut bytes).is_err());
    }
}
