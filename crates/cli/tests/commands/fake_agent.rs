//! A host agent that gives the answers that a test wrote for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use api::attach::{Frame, encode};

/// What is answered.
#[derive(Clone)]
pub enum Answer {
    /// This status and document.
    Json(u16, String),
    /// The connection turns into a stream of these frames; what the client sends is read to its end of input first where asked.
    Frames(Vec<Frame>, Input),
}

/// What becomes of a client's input before frames are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// It is not waited for.
    Ignored,
    /// It comes back as output.
    Echoed,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method and path.
    pub line: String,
    /// ECS's operation, where it is one.
    pub target: Option<String>,
    /// The body.
    pub body: String,
}

/// The host agent.
pub struct FakeAgent {
    directory: tempfile::TempDir,
    // The thread that answers writes, the test reads.
    requests: Arc<Mutex<Vec<Request>>>,
}

impl FakeAgent {
    /// One that knows these answers, by method and path, or by ECS's operation. The last is for everything else.
    pub fn start(answers: &[(&str, Answer)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("mote.sock")).unwrap();
        let requests = Arc::default();
        let answers: Vec<_> = answers
            .iter()
            .map(|(name, answer)| ((*name).to_owned(), answer.clone()))
            .collect();
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (answers, seen) = (answers.clone(), Arc::clone(&seen));
                std::thread::spawn(move || serve(&connection.unwrap(), &answers, &seen));
            }
        });
        Self { directory, requests }
    }

    /// Runs `mote` with these arguments and input.
    pub fn mote(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mote"))
            .args(arguments)
            .env("MOTE_HOST", format!("unix://{}", self.socket().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What came so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("mote.sock")
    }
}

fn serve(connection: &UnixStream, answers: &[(String, Answer)], seen: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(connection);
    let Some(request) = read_request(&mut reader) else {
        return;
    };
    seen.lock().unwrap().push(request.clone());
    let name = request.target.as_ref().unwrap_or(&request.line);
    let answer = answers.iter().find(|(known, _)| known == name);
    let missing = Answer::Json(
        404,
        format!(r#"{{"code":"NoSuchRoute","message":"nothing answers {name}"}}"#),
    );
    match answer.map_or(&missing, |(_, answer)| answer) {
        Answer::Json(status, body) => {
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = (&*connection).write_all(head.as_bytes());
            let _ = (&*connection).write_all(body.as_bytes());
        }
        Answer::Frames(frames, input) => {
            let head = "HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: mote-attach\r\nmote-task: 3f2a\r\n\r\n";
            (&*connection).write_all(head.as_bytes()).unwrap();
            if *input == Input::Echoed {
                let echo = Frame::Stdout(read_input(&mut reader));
                (&*connection).write_all(&encode(&echo).unwrap()).unwrap();
            }
            for frame in frames {
                (&*connection).write_all(&encode(frame).unwrap()).unwrap();
            }
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|&len| len > 0)?;
    let (mut len, mut target) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => len = value.parse().unwrap(),
            "x-amz-target" => target = value.split('.').next_back().map(str::to_owned),
            _ => {}
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).unwrap();
    Some(Request {
        line: first.rsplit_once(' ')?.0.to_owned(),
        target,
        body: String::from_utf8(body).unwrap(),
    })
}

/// What a client sends as standard input, to its end.
fn read_input(reader: &mut impl Read) -> Vec<u8> {
    let (mut bytes, mut input) = (Vec::new(), Vec::new());
    let mut piece = [0; 4096];
    loop {
        while let Some((frame, len)) = api::attach::parse(&bytes).unwrap() {
            bytes.drain(..len);
            match frame {
                Frame::Stdin(piece) => input.extend(piece),
                Frame::StdinEnd => return input,
                _ => {}
            }
        }
        let len = reader.read(&mut piece).unwrap();
        assert!(len > 0, "the client went away");
        bytes.extend_from_slice(&piece[..len]);
    }
}
