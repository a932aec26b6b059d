//! Firecracker with our guest kernel, the same image as a read-only disk, a second disk, and a TAP in a bridge that has an address, as ours is.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::json;

use super::guest;
use crate::bundle::{Bundle, succeed};
use crate::host::{Installation, Scratch};
use crate::worker::PROGRAM;

/// The TAP, its bridge, that one's address and the guest's.
const TAP: &str = "fcbench0";
const BRIDGE: &str = "fcbench-br";
const HOST_ADDRESS: &str = "172.29.255.1";
const GUEST_ADDRESS: &str = "172.29.255.2";
const MAC: &str = "06:00:ac:1d:ff:02";

/// Where the guest sends what fio has printed.
const RESULT_PORT: u16 = 7001;

/// Where its process is, as ours is: below a parent's control group, with the same bound of the CPU.
const CGROUP: &str = "/sys/fs/cgroup/fcbench/vm";
const CPU_MAX: &str = "100000 100000";

/// The size of the guest's second disk.
const DISK_SIZE: &str = "256m";

/// A guest that has measured its disk and serves. It ends when dropped.
pub struct Guest {
    process: Child,
    /// What fio printed.
    pub disk: Vec<u8>,
    /// Where it serves.
    pub address: &'static str,
    /// Goes after it.
    _files: Scratch,
}

/// Boots a guest with so much memory from the image in `archive`.
pub fn boot(program: &Path, memory_mib: u32, archive: &Path) -> Result<Guest> {
    let installation = Installation::from_environment()?;
    let scratch = Scratch::new("firecracker")?;
    let directory = scratch.path();
    let rootfs = rootfs(&installation.program(PROGRAM), archive, directory)?;
    let data = directory.join("data.ext4");
    succeed(Command::new("mkfs.ext4").arg("-q").arg(&data).arg(DISK_SIZE))?;
    for arguments in [
        format!("link add {BRIDGE} type bridge"),
        format!("address add {HOST_ADDRESS}/30 dev {BRIDGE}"),
        format!("link set {BRIDGE} up"),
        format!("tuntap add dev {TAP} mode tap vnet_hdr"),
        format!("link set {TAP} master {BRIDGE}"),
        format!("link set {TAP} up"),
    ] {
        succeed(Command::new("ip").args(arguments.split(' ')))?;
    }
    let drive = |name: &str, path: &Path, is_root: bool| json!({"drive_id": name, "path_on_host": path, "is_root_device": is_root, "is_read_only": is_root});
    let config = json!({
        "boot-source": {"kernel_image_path": installation.share("vmlinux"),
            "boot_args": "quiet loglevel=1 panic=-1 reboot=k 8250.nr_uarts=1 rootfstype=erofs init=/bench-init"},
        "machine-config": {"vcpu_count": 1, "mem_size_mib": memory_mib},
        "drives": [drive("rootfs", &rootfs, true), drive("data", &data, false)],
        "network-interfaces": [{"iface_id": "eth0", "host_dev_name": TAP, "guest_mac": MAC}],
    });
    let path = directory.join("firecracker.json");
    std::fs::write(&path, config.to_string()).context("cannot write Firecracker's configuration")?;
    let results = TcpListener::bind((HOST_ADDRESS, RESULT_PORT)).context("cannot listen for the guest")?;
    let process = Command::new("sh")
        .args(["-c", "echo $$ >$0/cgroup.procs && exec \"$@\"", &cgroup()?])
        .arg(program)
        .args(["--level", "Off", "--no-api", "--config-file"])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run Firecracker")?;
    let mut guest = Guest {
        process,
        disk: Vec::new(),
        address: GUEST_ADDRESS,
        _files: scratch,
    };
    let (mut result, _) = results.accept().context("the guest does not call")?;
    result
        .read_to_end(&mut guest.disk)
        .context("the guest cannot be heard")?;
    Ok(guest)
}

/// The control group for its process, which is made; its path.
fn cgroup() -> Result<String> {
    let group = Path::new(CGROUP);
    std::fs::create_dir_all(group).context("cannot make a control group for Firecracker")?;
    let parent = group.parent().unwrap_or(group);
    for directory in [parent.parent().unwrap_or(parent), parent] {
        std::fs::write(directory.join("cgroup.subtree_control"), "+cpu").context("cannot have the CPU bounded")?;
    }
    std::fs::write(group.join("cpu.max"), CPU_MAX).context("cannot bound Firecracker's CPU")?;
    Ok(CGROUP.to_owned())
}

/// The image as a file system that the guest has as its root, with what it runs.
fn rootfs(worker: &Path, archive: &Path, directory: &Path) -> Result<PathBuf> {
    let bundle = Bundle::prepare(archive, directory, &["/bench-init"])?;
    bundle.add(worker)?;
    let tree = bundle.path().join("rootfs");
    std::fs::create_dir(tree.join("data")).context("cannot make a mount point")?;
    let init = format!(
        "#!/bin/bash\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin\nmount -t proc proc /proc\nmount -t devtmpfs dev /dev\nmount -t tmpfs tmp /tmp\nmount -t ext4 /dev/vdb /data\n\
         ip link set lo up\nip address add {GUEST_ADDRESS}/30 dev eth0\nip link set eth0 up\n\
         {} >/tmp/result\ncat /tmp/result >/dev/tcp/{HOST_ADDRESS}/{RESULT_PORT}\n{}\n",
        guest::DISK,
        guest::serve(&format!("/{PROGRAM}")),
    );
    let path = tree.join("bench-init");
    std::fs::write(&path, init).context("cannot write the guest's program")?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).context("cannot make it executable")?;
    let image = directory.join("rootfs.erofs");
    succeed(Command::new("mkfs.erofs").arg("--quiet").arg(&image).arg(&tree))?;
    Ok(image)
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The machine around the benchmark goes as well.
        for link in [TAP, BRIDGE] {
            let _ = Command::new("ip").args(["link", "delete", link]).status();
        }
        let group = Path::new(CGROUP);
        for directory in [Some(group), group.parent()].into_iter().flatten() {
            let _ = std::fs::remove_dir(directory);
        }
    }
}
