//! The relay: a process that serves the host's connections, a thread for each.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use machine::wire::boot::encode_line;
use machine::wire::request::{encode, parse_length, parse_request};
use machine::wire::{BootReport, RELAY_PORT, Refusal, Request, Response, TOKEN_LEN, Token, tokens_equal};

use crate::control::uptime_ms;
use crate::{exec, power};

/// What PID 1 calls this program with to make it the relay.
pub const ARGUMENT: &str = "relay";

/// The most connections at once, so that a client in a loop does not eat the machine's memory.
const CONNECTIONS_MAX: usize = 256;
/// How long a new connection may take to say what it is for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until a client asks for the machine's end.
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            power::say(&format!("machine relay: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<()> {
    let mut token: Token = [0; TOKEN_LEN];
    io::stdin().read_exact(&mut token).context("cannot read the token")?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, RELAY_PORT)).context("cannot open the relay's port")?;
    report_ready()?;
    let open = AtomicUsize::new(0);
    thread::scope(|scope| {
        loop {
            let (connection, _) = listener.accept().context("cannot take a connection")?;
            if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (token, open) = (&token, &open);
            scope.spawn(move || {
                // The client learns of an error by the connection's end.
                if let Err(error) = serve_connection(connection, token) {
                    power::say(&format!("machine relay: {error:#}"));
                }
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    })
}

/// Standard output is the control port.
fn report_ready() -> Result<()> {
    let port = io::stdout()
        .as_fd()
        .try_clone_to_owned()
        .context("cannot reach the control port")?;
    File::from(port)
        .write_all(&encode_line(&BootReport::Ready { uptime_ms: uptime_ms() })?)
        .context("cannot report readiness")
}

fn serve_connection(mut connection: TcpStream, token: &Token) -> Result<()> {
    connection.set_nodelay(true).context("cannot prepare a connection")?;
    connection
        .set_read_timeout(Some(REQUEST_TIMEOUT))
        .context("cannot prepare a connection")?;
    let request = read_request(&mut connection, token).context("a connection was refused")?;
    connection
        .set_read_timeout(None)
        .context("cannot prepare a connection")?;
    match request {
        Request::Exec(request) => exec::serve(connection, &request),
        Request::Connect { path } => connect(connection, &path),
        Request::Shutdown {} => {
            respond(&mut connection, &Response::Accepted)?;
            let _ = connection.shutdown(Shutdown::Write);
            // PID 1 takes the relay's end as the order to switch off.
            std::process::exit(0)
        }
    }
}

fn read_request(connection: &mut TcpStream, token: &Token) -> Result<Request> {
    let mut offered: Token = [0; TOKEN_LEN];
    connection.read_exact(&mut offered)?;
    if !tokens_equal(&offered, token) {
        bail!("the token is wrong");
    }
    let mut prefix = [0; 4];
    connection.read_exact(&mut prefix)?;
    let mut json = vec![0; parse_length(prefix)?];
    connection.read_exact(&mut json)?;
    Ok(parse_request(&json)?)
}

/// Sends the answer to a request.
pub fn respond(connection: &mut TcpStream, response: &Response) -> Result<()> {
    connection
        .write_all(&encode(response)?)
        .context("cannot answer a request")
}

/// Passes bytes between the connection and a unix socket, each direction until it ends.
fn connect(mut connection: TcpStream, path: &Path) -> Result<()> {
    let mut socket = match UnixStream::connect(path) {
        Ok(socket) => socket,
        Err(error) => {
            let refusal = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Refusal::NotFound,
                _ => Refusal::Failed,
            };
            let message = format!("cannot connect to {}: {error}", path.display());
            return respond(&mut connection, &Response::Refused { refusal, message });
        }
    };
    respond(&mut connection, &Response::Accepted)?;
    let mut from_client = connection.try_clone().context("cannot share the connection")?;
    let mut to_socket = socket.try_clone().context("cannot share the connection")?;
    thread::scope(|scope| {
        scope.spawn(|| {
            // An error of one side ends both directions: the other side must learn of it.
            match io::copy(&mut from_client, &mut to_socket) {
                Ok(_) => drop(to_socket.shutdown(Shutdown::Write)),
                Err(_) => drop(to_socket.shutdown(Shutdown::Both)),
            }
        });
        match io::copy(&mut socket, &mut connection) {
            Ok(_) => drop(connection.shutdown(Shutdown::Write)),
            Err(_) => drop(connection.shutdown(Shutdown::Both)),
        }
    });
    Ok(())
}
