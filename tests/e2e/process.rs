//! What a container's process finds: identity, environment, directory, namespaces, terminal, limits on what it may do.

use crate::fixture::{host, sh, sh_with};

/// The output of `script`, which must succeed.
#[track_caller]
fn check(options: &[&str], script: &str, expected: &str) {
    assert_eq!(sh_with(options, script).ended_with(0).text(), expected);
}

#[test]
fn the_users_by_name_and_by_number() {
    check(&[], "id -u; id -g", "0\n0\n");
    check(&["-u", "1234:5678"], "id -u; id -g", "1234\n5678\n");
    check(&["-u", "nobody"], "id -un", "nobody\n");
    let ran = sh_with(&["-u", "nobody-knows"], "id").ended_with(125);
    assert!(ran.stderr.contains("nobody-knows"), "{ran}");
}

#[test]
fn the_environment_is_the_images_then_the_callers() {
    check(
        &["-e", "A=1", "-e", "B=two words"],
        "echo $A; echo $B; echo $PATH | grep -c bin",
        "1\ntwo words\n1\n",
    );
    check(&["-u", "0"], "echo $HOME", "/root\n");
}

#[test]
fn the_working_directory_is_made() {
    check(&["-w", "/not/there/yet"], "pwd", "/not/there/yet\n");
}

#[test]
fn the_host_name_is_the_callers() {
    check(
        &["--hostname", "somewhere"],
        "hostname; cat /etc/hostname",
        "somewhere\nsomewhere\n",
    );
}

#[test]
fn the_entrypoint_can_be_replaced() {
    let ran = host()
        .run(&["--entrypoint", "echo"], "busybox", &["a", "b"])
        .ended_with(0);
    assert_eq!(ran.text(), "a b\n");
}

#[test]
fn the_process_is_the_first_of_its_own_namespaces() {
    // By the shell alone: the processes of a pipe begin in any order.
    check(&[], "echo $$ /proc/[0-9]*", "1 /proc/1\n");
    check(&[], "cat /proc/self/cgroup", "0::/\n");
}

#[test]
fn the_capabilities_are_dockers() {
    check(
        &[],
        "grep -E 'Cap(Eff|Bnd)' /proc/self/status | cut -f2",
        "00000000a80425fb\n00000000a80425fb\n",
    );
    check(
        &["-u", "1000"],
        "grep CapEff /proc/self/status | cut -f2",
        "0000000000000000\n",
    );
}

#[test]
fn no_new_privileges_where_asked() {
    check(&[], "grep NoNewPrivs /proc/self/status | cut -f2", "0\n");
    check(
        &["--security-opt", "no-new-privileges"],
        "grep NoNewPrivs /proc/self/status | cut -f2",
        "1\n",
    );
}

#[test]
fn what_is_masked_cannot_be_read_or_written() {
    check(
        &[],
        "cat /proc/kcore | wc -c; echo x > /proc/sysrq-trigger || echo refused",
        "0\nrefused\n",
    );
    check(&[], "mount -t tmpfs none /mnt 2>/dev/null || echo refused", "refused\n");
}

#[test]
fn the_rootfs_is_writable_and_fresh_each_time() {
    check(
        &[],
        "echo a > /file; mkdir -p /etc/x; echo b >> /etc/passwd; cat /file",
        "a\n",
    );
    check(&[], "ls /file 2>/dev/null || echo gone", "gone\n");
}

#[test]
fn orphans_are_reaped() {
    check(
        &[],
        "(sleep 0.1 &); (sleep 0.1 &); sleep 1; ps -o stat | grep -c Z || true",
        "0\n",
    );
}

#[test]
fn a_terminal_where_asked() {
    let ran = sh_with(&["-t"], "tty; test -t 0 && test -t 1 && test -t 2 && echo terminal").ended_with(0);
    assert_eq!(ran.text(), "/dev/pts/0\r\nterminal\r\n");
    check(&[], "test -t 1 || echo none", "none\n");
}

#[test]
fn the_standard_devices_are_there() {
    check(
        &[],
        "for d in null zero full random urandom tty; do test -c /dev/$d || echo $d; done; head -c 4 /dev/zero | wc -c; ls -d /dev/shm /dev/mqueue /dev/pts",
        "4\n/dev/mqueue\n/dev/pts\n/dev/shm\n",
    );
}

#[test]
fn python_runs() {
    let program = "import sys, json; print(json.dumps(sys.version_info[0]))";
    let ran = host().run(&["--memory", "128"], "python", &["python3", "-c", program]);
    assert_eq!(ran.ended_with(0).text(), "3\n");
}

#[test]
fn nginx_serves() {
    let script = "nginx -g 'daemon off;' & for try in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/80) && break; sleep 0.2; done \
                  2>/dev/null; exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3";
    let options = ["--memory", "128", "--entrypoint", "/bin/bash"];
    let ran = host().run(&options, "nginx", &["-c", script]).ended_with(0);
    assert!(
        ran.text().contains("HTTP/1.1 200 OK") && ran.text().contains("nginx"),
        "{ran}"
    );
}

#[test]
fn the_shell_sees_the_guest_kernel() {
    assert!(sh("uname -r").ended_with(0).text().starts_with("6.12"));
}
