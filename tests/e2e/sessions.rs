//! The guest agent, as a host agent sees it: several containers, executed commands, restarts, and sessions that go on where another ended.

use protocol::guest::{
    Container, EXECUTED_FIRST, ExitStatus, ListedProcess, Mount, MountSource, Stream, TerminalSize, ToGuest, ToHost,
    Ulimit,
};
use tests::patience::until;

use crate::guest_agent::{Microvm, Session, container, execution};

/// A container that runs until it is told to end.
fn lasting() -> Container {
    container("main", 1, "echo up; exec sleep 1000000")
}

fn live(containers: &[Container]) -> (Microvm, Session) {
    let (microvm, mut session) = Microvm::boot();
    session.start(containers, |_| ());
    (microvm, session)
}

const SUCCESS: ExitStatus = ExitStatus::Code(0);

#[test]
fn commands_are_executed_in_a_container() {
    let (_microvm, mut session) = live(&[lasting()]);
    let first = EXECUTED_FIRST;
    let (text, status) = session.execute(first, "echo $OWN $PWD $HOME; hostname; cat; exit 3", b"from the host\n");
    assert_eq!(text, "yes /tmp /root\nguest\nfrom the host\n");
    assert_eq!(status, ExitStatus::Code(3));
    // It is in the container's PID namespace and cgroup, beside the container's process.
    let (text, _) = session.execute(
        first + 1,
        "tr '\\0' ' ' < /proc/1/cmdline; echo; cat /proc/self/cgroup",
        b"",
    );
    assert_eq!(text, "sleep 1000000 \n0::/\n");
    let capabilities = "grep -E 'Cap(Bnd|Eff)' /proc/self/status /proc/1/status | cut -d: -f2- | sort -u | wc -l";
    assert_eq!(session.execute(first + 2, capabilities, b"").0, "2\n");
    let mut as_user = execution(first + 3, "id -un; tty; pwd; echo $OWN; stty size");
    as_user.user = Some("app".to_owned());
    as_user.working_directory = Some("/usr".to_owned());
    as_user.env = vec!["OWN=other".to_owned()];
    as_user.terminal = Some(TerminalSize { columns: 90, rows: 33 });
    session.send(&ToGuest::Execute(Box::new(as_user)));
    assert_eq!(session.end_of(first + 3), SUCCESS);
    assert_eq!(
        session.text(first + 3),
        "app\r\n/dev/pts/0\r\n/usr\r\nother\r\n33 90\r\n"
    );
    let mut missing = execution(first + 4, "");
    missing.argv = vec!["/no/such".to_owned()];
    session.send(&ToGuest::Execute(Box::new(missing)));
    while !matches!(session.told.last(), Some(ToHost::StartFailed { .. })) {
        session.wait_for_any();
    }
}

#[test]
fn much_goes_both_ways_through_the_windows() {
    let (_microvm, mut session) = live(&[lasting()]);
    let process = EXECUTED_FIRST;
    session.send(&ToGuest::Execute(Box::new(execution(process, "cat | md5sum"))));
    for _ in 0..32 {
        session.input(process, &[b'x'; 32 << 10]);
        session.wait_until_taken(process);
    }
    session.input(process, b"");
    assert_eq!(session.end_of(process), SUCCESS);
    let (expected, _) = session.execute(process + 1, "head -c 1048576 /dev/zero | tr '\\0' x | md5sum", b"");
    assert_eq!(session.text(process), expected);
    let (text, _) = session.execute(process + 2, "head -c 3000000 /dev/zero | tr '\\0' y", b"");
    assert_eq!(text.len(), 3_000_000);
}

#[test]
fn containers_of_a_microvm_share_volumes_and_nothing_else() {
    let volume = |name: &str, target: &str, read_only| Mount {
        source: MountSource::Volume(name.to_owned()),
        target: target.to_owned(),
        read_only,
    };
    // A shell in a volume that was empty is there only if the image's content was copied.
    let mut writer = container(
        "writer",
        1,
        "echo mine > /own; echo ours > /shared/deep/file; exec sleep 1000000",
    );
    writer.mounts = vec![volume("tools", "/bin", false), volume("data", "/shared/deep", false)];
    let script = "until [ -s /s/file ]; do sleep 1; done; cat /s/file; ls /own; echo x > /s/file";
    let mut reader = container("reader", 2, script);
    reader.mounts = vec![volume("data", "/s", true)];
    let (_microvm, mut session) = Microvm::boot();
    session.start(&[writer, reader], |start| {
        start.volumes = vec!["data".to_owned(), "tools".to_owned()]
    });
    assert_eq!(session.end_of(2), ExitStatus::Code(1));
    assert_eq!(session.text(2), "ours\n");
}

#[test]
fn a_restarted_container_finds_its_files() {
    let script = "echo $HOSTNAME run >> /file; cat /file; read line; exit 4";
    let mut described = container("main", 1, script);
    described.stdin = true;
    let (_microvm, mut session) = live(&[described]);
    let restart = |process| ToGuest::Restart {
        container: "main".to_owned(),
        process,
    };
    session.send(&restart(9));
    while !matches!(session.told.last(), Some(ToHost::StartFailed { process: 9, .. })) {
        session.wait_for_any();
    }
    session.input(1, b"\n");
    assert_eq!(session.end_of(1), ExitStatus::Code(4));
    session.send(&restart(2));
    session.let_go(2);
    session.input(2, b"\n");
    assert_eq!(session.end_of(2), ExitStatus::Code(4));
    assert_eq!(
        (session.text(1).lines().count(), session.text(2).lines().count()),
        (1, 2)
    );
}

#[test]
fn a_container_gets_what_its_definition_says() {
    let script = "touch /x 2>&1; touch /dev/shm/x /tmp/x && df -k /dev/shm /tmp | awk '{print $2}' | tail -2; \
        ulimit -n; cat /proc/sys/kernel/shmmax /proc/sys/net/ipv4/tcp_fin_timeout; \
        cat /sys/fs/cgroup/memory.low /sys/fs/cgroup/cpu.weight; tail -2 /etc/hosts; mount | grep ' /tmp ' | grep -o noexec";
    let mut described = container("main", 1, script);
    described.read_only = true;
    described.shared_memory_bytes = Some(1 << 20);
    described.memory_bytes_low = Some(1 << 20);
    described.cpu_weight = Some(77);
    described.mounts = vec![Mount {
        source: MountSource::Tmpfs {
            bytes: 2 << 20,
            options: vec!["noexec".to_owned(), "mode=1777".to_owned()],
        },
        target: "/tmp".to_owned(),
        read_only: false,
    }];
    described.ulimits = vec![Ulimit {
        name: "nofile".to_owned(),
        soft: Some(100),
        hard: Some(200),
    }];
    described.hosts = vec![("10.1.2.3".parse().unwrap(), "db".to_owned())];
    let (_microvm, mut session) = Microvm::boot();
    let settings = [("kernel/shmmax", "123456"), ("net/ipv4/tcp_fin_timeout", "7")];
    session.start(&[described], |start| {
        start.sysctls = settings
            .map(|(path, value)| (path.to_owned(), value.to_owned()))
            .to_vec();
    });
    assert_eq!(session.end_of(1), SUCCESS);
    let expected = "touch: /x: Read-only file system\n1024\n2048\n100\n123456\n7\n1048576\n77\n\
        127.0.1.1\tguest\n10.1.2.3\tdb\nnoexec\n";
    assert_eq!(session.text(1), expected);
}

#[test]
fn an_init_process_reaps_and_passes_signals_on() {
    let script = "trap 'echo told; exit 5' TERM; (sleep 0 & exec sleep 0.2); sleep 1; \
        echo up $$; grep -c zombie /proc/*/status | grep -v ':0'; while :; do sleep 1; done";
    let mut described = container("main", 1, script);
    described.has_init_process = true;
    let (_microvm, mut session) = live(&[described]);
    session.wait_for_text(1, "up");
    session.send(&ToGuest::Signal { process: 1, signal: 15 });
    assert_eq!(session.end_of(1), ExitStatus::Code(5));
    let text = session.text(1);
    assert!(!text.starts_with("up 1\n") && text.ends_with("told\n"), "{text}");
}

#[test]
fn what_containers_use_and_run_is_told() {
    let (_microvm, mut session) = live(&[lasting()]);
    session.wait_for_text(1, "up");
    session.send(&ToGuest::Measure { request: 5 });
    session.wait_for_any();
    let Some(ToHost::Measured { request: 5, containers }) = session.told.last() else {
        panic!("{:?}", session.told);
    };
    let usage = &containers[0];
    assert!(usage.container == "main" && usage.memory_bytes > 0 && usage.cpu_user_us + usage.cpu_system_us > 0);
    // What the shell wrote may be heard before it became something else.
    let processes = until("the shell has become its last command", || {
        session.send(&ToGuest::List {
            request: 6,
            container: "main".to_owned(),
        });
        session.wait_for_any();
        let Some(ToHost::Listed { request: 6, processes }) = session.told.last() else {
            panic!("{:?}", session.told);
        };
        let is_last = |process: &ListedProcess| process.command == ["sleep", "1000000"];
        processes.iter().any(is_last).then(|| processes.clone())
    });
    let [
        ListedProcess {
            pid: 1,
            parent: 0,
            uid: 0,
            memory_bytes,
            ..
        },
    ] = &processes[..]
    else {
        panic!("{processes:?}");
    };
    assert!(*memory_bytes > 0);
}

#[test]
fn a_session_goes_on_where_another_one_was_cut_off() {
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; read line; echo got $line; exit 6";
    let mut described = container("main", 1, script);
    described.stdin = true;
    let short = container("short", 2, "exit 2");
    let (microvm, mut session) = live(&[described, short]);
    session.end_of(2);
    session.send(&ToGuest::Execute(Box::new(execution(EXECUTED_FIRST, "sleep 1000000"))));
    session.wait_for(&ToHost::Started {
        process: EXECUTED_FIRST,
    });
    session.input(1, b"hel");
    let (mut text, mut received) = (String::new(), Vec::new());
    for round in 1..6 {
        session.wait_for_text(1, &format!("line {}00\n", round * 7));
        text.push_str(&session.text(1));
        received.retain(|known: &protocol::guest::Received| (known.process, known.stream) == (2, Stream::Stdout));
        received.extend(session.received());
        if round % 2 == 0 {
            // The newer host wins.
            let newer = microvm.connect();
            while !session.is_over() {}
            session = newer;
        } else {
            drop(session);
            session = microvm.connect();
        }
        session.resume(received.clone());
        let exited = ToHost::Exited {
            process: 2,
            status: ExitStatus::Code(2),
            out_of_memory: false,
        };
        let told = [ToHost::Started { process: 1 }, ToHost::Started { process: 2 }, exited];
        assert!(
            told.iter().all(|message| session.told.contains(message)),
            "{:?}",
            session.told
        );
        assert!(!session.told.contains(&ToHost::Started {
            process: EXECUTED_FIRST
        }));
    }
    session.go_on_with_input(1, 3);
    session.input(1, b"lo\n");
    assert_eq!(session.end_of(1), ExitStatus::Code(6));
    text.push_str(&session.text(1));
    let lines: String = (0..20_000).map(|number| format!("line {number}\n")).collect();
    assert!(text == lines + "got hello\n");
}
