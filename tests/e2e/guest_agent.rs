//! A real guest agent whose host is the test: what one microVM needs to run, and the session's other end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use protocol::frame::{self, HEADER_LEN, Kind, Piece};
use protocol::guest::{
    CONTROL_PORT, Container, Execute, ExitStatus, Received, SESSION_PORT, Start, Stream, ToGuest, ToHost, VERSION,
};
use protocol::jail::Confinement;
use protocol::usual;
use protocol::vmm::{Config, Control, Device, GUEST_CID, Limits, Origin, Shape, standing};
use tempfile::TempDir;
use tests::command::ran;
use tests::host::image_archive;

use crate::fixture::installed;
use crate::images::snapshot_parts;
use crate::vmm::{Vmm, boot};

/// The files of the busybox image's snapshot, and what keeps them.
static BUSYBOX: LazyLock<(TempDir, Vec<PathBuf>)> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let parts = snapshot_parts(&directory.path().join("store"), &image_archive("busybox").unwrap());
    (directory, parts)
});

/// A microVM with the real guest agent.
pub struct Microvm {
    _vmm: Vmm,
    directory: TempDir,
}

impl Microvm {
    /// Boots it, and answers its first session, in which nothing was said yet.
    pub fn boot() -> (Self, Session) {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let scratch = at("scratch");
        File::create_new(&scratch).unwrap().set_len(1 << 30).unwrap();
        let _ = ran(
            Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&scratch),
            b"",
        )
        .unwrap()
        .ended_with(0);
        let listener = UnixListener::bind(at(&format!("vsock_{CONTROL_PORT}"))).unwrap();
        let vsock = Device::Vsock {
            guest_cid: GUEST_CID,
            socket: at("vsock"),
            host_ports: vec![CONTROL_PORT],
        };
        let disk = Device::BlockConcatenation {
            parts: BUSYBOX.1.clone(),
        };
        let slots = BTreeMap::from([
            (standing::VSOCK, vsock),
            (standing::DISK, disk),
            (standing::SCRATCH, Device::BlockFile { path: scratch }),
        ]);
        let config = Config {
            origin: Origin::Boot(boot(installed("share/mote/initramfs.cpio").into(), "")),
            shape: Some(Shape {
                vcpus: 1,
                growth_mib: 0,
                slots,
                limits: Limits::default(),
            }),
            counters: None,
            control: Control::Path(at("control.sock")),
            jail: Confinement::default(),
        };
        let vmm = Vmm::start(&config);
        let session = Session::over(listener.accept().unwrap().0);
        let microvm = Self { _vmm: vmm, directory };
        (microvm, session)
    }

    /// Comes back as another host.
    pub fn connect(&self) -> Session {
        let mut connection = UnixStream::connect(self.directory.path().join("vsock")).unwrap();
        writeln!(connection, "CONNECT {SESSION_PORT}").unwrap();
        let mut byte = [0];
        while byte != *b"\n" {
            connection.read_exact(&mut byte).unwrap();
        }
        Session::over(connection)
    }
}

/// The host's end of a session: acknowledges whatever comes, and keeps all of it.
pub struct Session {
    connection: UnixStream,
    /// What was told.
    pub told: Vec<ToHost>,
    output: BTreeMap<(u32, Stream), Vec<u8>>,
    /// How much of each stream was there before this session.
    before: BTreeMap<(u32, Stream), u64>,
    ended: BTreeSet<(u32, Stream)>,
    sent: BTreeMap<u32, u64>,
}

impl Session {
    /// A session in which the guest agent says hello.
    pub fn over(connection: UnixStream) -> Self {
        let mut session = Self {
            connection,
            told: Vec::new(),
            output: BTreeMap::new(),
            before: BTreeMap::new(),
            ended: BTreeSet::new(),
            sent: BTreeMap::new(),
        };
        session.read();
        assert_eq!(session.told, [ToHost::Hello { version: VERSION }]);
        session
    }

    /// Sends a message.
    pub fn send(&mut self, message: &ToGuest) {
        frame::write(&mut self.connection, message).unwrap();
    }

    /// Starts containers, and lets all of them go as soon as they are prepared.
    pub fn start(&mut self, containers: &[Container], change: impl FnOnce(&mut Start)) {
        let mut start = Start {
            hostname: "guest".to_owned(),
            entropy: vec![7; 64],
            vcpus: 1,
            waits_for_vcpus: false,
            growth_mib: 0,
            network: None,
            sysctls: Vec::new(),
            volumes: Vec::new(),
            containers: containers.to_vec(),
        };
        change(&mut start);
        self.send(&ToGuest::Start(Box::new(start)));
        for Container { process, .. } in containers {
            self.let_go(*process);
        }
    }

    /// Lets a process go when it is prepared, and waits until it runs.
    pub fn let_go(&mut self, process: u32) {
        self.wait_for(&ToHost::Prepared { process });
        self.send(&ToGuest::Release { process });
        self.wait_for(&ToHost::Started { process });
    }

    /// Runs a shell's `script` in the container called `main`, with `input`; what it writes, and how it ends.
    pub fn execute(&mut self, process: u32, script: &str, input: &[u8]) -> (String, ExitStatus) {
        self.send(&ToGuest::Execute(Box::new(execution(process, script))));
        // An empty piece is the end.
        if !input.is_empty() {
            self.input(process, input);
        }
        self.input(process, b"");
        let status = self.end_of(process);
        (self.text(process), status)
    }

    /// Sends input; nothing is its end.
    pub fn input(&mut self, process: u32, content: &[u8]) {
        let offset = self.sent.entry(process).or_default();
        let piece = Piece {
            process,
            stream: Stream::Stdin,
            offset: *offset,
            content,
        };
        *offset += u64::try_from(content.len()).unwrap();
        let header = frame::piece_header(&piece).unwrap();
        self.connection.write_all(&[&header, content].concat()).unwrap();
    }

    /// Waits for a message.
    pub fn wait_for(&mut self, message: &ToHost) {
        while !self.told.contains(message) {
            self.read();
        }
    }

    /// Waits for the next message.
    pub fn wait_for_any(&mut self) {
        let before = self.told.len();
        while self.told.len() == before {
            self.read();
        }
    }

    /// Waits until the process has nearly all of its input: there is room for another piece then.
    pub fn wait_until_taken(&mut self, process: u32) {
        let sent = self.sent.get(&process).copied().unwrap_or(0);
        let taken = |message: &ToHost| match message {
            ToHost::Acknowledge(received) if received.process == process => received.offset,
            _ => 0,
        };
        while self.told.iter().map(taken).max().unwrap_or(0) + (32 << 10) < sent {
            self.read();
        }
    }

    /// Goes on with input of which the guest agent has this much.
    pub fn go_on_with_input(&mut self, process: u32, offset: u64) {
        let received = Received {
            process,
            stream: Stream::Stdin,
            offset,
        };
        assert!(self.told.contains(&ToHost::Acknowledge(received)));
        self.sent.insert(process, offset);
    }

    /// Waits for the end of a process and of its output.
    pub fn end_of(&mut self, process: u32) -> ExitStatus {
        loop {
            let exited = self.told.iter().find_map(|message| match message {
                ToHost::Exited {
                    process: of, status, ..
                } if *of == process => Some(*status),
                _ => None,
            });
            if let Some(status) = exited.filter(|_| self.ended.contains(&(process, Stream::Stdout))) {
                return status;
            }
            self.read();
        }
    }

    /// Waits until standard output holds `text`.
    pub fn wait_for_text(&mut self, process: u32, text: &str) {
        while !self.text(process).contains(text) {
            self.read();
        }
    }

    /// Standard output so far.
    pub fn text(&self, process: u32) -> String {
        let bytes = self
            .output
            .get(&(process, Stream::Stdout))
            .map_or(&[][..], Vec::as_slice);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// How much of each stream it has.
    pub fn received(&self) -> Vec<Received> {
        let received = self.output.iter().map(|(&(process, stream), bytes)| Received {
            process,
            stream,
            offset: self.before.get(&(process, stream)).copied().unwrap_or(0)
                + u64::try_from(bytes.len()).unwrap()
                + u64::from(self.ended.contains(&(process, stream))),
        });
        received.collect()
    }

    /// Goes on from there, until all was told again.
    pub fn resume(&mut self, received: Vec<Received>) {
        self.before = received.iter().map(|r| ((r.process, r.stream), r.offset)).collect();
        self.send(&ToGuest::Resume { received });
        self.wait_for(&ToHost::Resumed);
    }

    /// Whether the guest agent has ended the session.
    pub fn is_over(&mut self) -> bool {
        matches!(self.connection.read(&mut [0]), Ok(0) | Err(_))
    }

    /// Reads a frame.
    fn read(&mut self) {
        let mut header = [0; HEADER_LEN];
        self.connection.read_exact(&mut header).unwrap();
        let kind = frame::parse_kind(header).unwrap();
        let (Kind::Message(len) | Kind::Piece(len)) = kind;
        let mut bytes = vec![0; len];
        self.connection.read_exact(&mut bytes).unwrap();
        if matches!(kind, Kind::Message(_)) {
            let message: ToHost = frame::parse(&bytes).unwrap();
            assert!(!matches!(message, ToHost::Failed { .. }), "{message:?}");
            self.told.push(message);
            return;
        }
        let piece = frame::parse_piece(&bytes).unwrap();
        let of = (piece.process, piece.stream);
        let known = self.output.entry(of).or_default();
        let before = self.before.get(&of).copied().unwrap_or(0);
        assert_eq!(piece.offset, before + u64::try_from(known.len()).unwrap());
        known.extend_from_slice(piece.content);
        if piece.content.is_empty() {
            self.ended.insert(of);
        }
        let offset = piece.offset + u64::try_from(piece.content.len()).unwrap().max(1);
        let received = Received {
            process: piece.process,
            stream: piece.stream,
            offset,
        };
        self.send(&ToGuest::Acknowledge(received));
    }
}

/// A container that runs a shell's `script`.
pub fn container(name: &str, process: u32, script: &str) -> Container {
    let strings = |strings: &[&str]| strings.iter().map(|&text| text.to_owned()).collect();
    Container {
        name: name.to_owned(),
        process,
        rootfs_slot: standing::DISK,
        scratch_slot: Some(standing::SCRATCH),
        argv: strings(&["/bin/sh", "-c", script]),
        env: strings(&["PATH=/bin:/usr/bin", "OWN=yes"]),
        working_directory: "/tmp".to_owned(),
        user: String::new(),
        terminal: None,
        stdin: false,
        capabilities: strings(&usual::CAPABILITIES),
        no_new_privileges: false,
        masked_paths: strings(&usual::MASKED_PATHS),
        read_only_paths: strings(&usual::READ_ONLY_PATHS),
        memory_bytes_max: Some(32 << 20),
        pids_max: Some(100),
        memory_bytes_low: None,
        cpu_weight: None,
        read_only: false,
        has_init_process: false,
        shared_memory_bytes: None,
        mounts: Vec::new(),
        ulimits: Vec::new(),
        hosts: Vec::new(),
    }
}

/// A shell's `script`, to be run in the container called `main`.
pub fn execution(process: u32, script: &str) -> Execute {
    Execute {
        process,
        container: "main".to_owned(),
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: Vec::new(),
        working_directory: None,
        user: None,
        terminal: None,
        stdin: true,
    }
}
