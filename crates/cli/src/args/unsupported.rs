//! Options of Docker's that mote does not have, each with what to do instead.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Option and sentence.
const UNSUPPORTED: &[(&str, &str)] = &[
    (
        "--privileged",
        "a task has a kernel of its own: give what it needs by --cap-add",
    ),
    (
        "--pid",
        "a task has processes of its own alone: use `mote exec` to enter it",
    ),
    (
        "--ipc",
        "a task shares no memory with others: use --shm-size for more of its own",
    ),
    ("--uts", "a task has a host name of its own: use --hostname"),
    ("--userns", "a task has users of its own already"),
    ("--cgroupns", "a task has control groups of its own already"),
    ("--cgroup-parent", "a task's size is set by --cpu and --memory"),
    ("--runtime", "every task runs in a microVM"),
    ("--isolation", "every task runs in a microVM"),
    ("--device", "a task sees no devices of its host"),
    (
        "--network-alias",
        "a task is known by its name in its network: use --name",
    ),
    ("--gpus", "a task sees no devices of its host"),
    (
        "--mount",
        "use --volume for an empty volume or a directory of the host, or --tmpfs",
    ),
    (
        "--volumes-from",
        "a volume is gone with its task; define several containers in a task definition to share one",
    ),
    (
        "--volume-driver",
        "a volume is empty at first and gone with its task, or a directory of the host",
    ),
    (
        "--link",
        "make a network with `mote network create` and give it with --network: its tasks know each other's names",
    ),
    (
        "--expose",
        "every port of a task can be reached from its host; use --publish for others",
    ),
    ("--publish-all", "name the ports with --publish"),
    ("--ip", "the host agent chooses a task's address"),
    ("--ip6", "the host agent chooses a task's address"),
    ("--mac-address", "the host agent chooses a task's addresses"),
    ("--domainname", "give the whole name with --hostname"),
    ("--dns-search", "give whole names; the host's search domains apply"),
    ("--dns-option", "the host's options apply"),
    ("--cpu-shares", "use --cpu: a task has a share of its own"),
    ("--cpu-period", "use --cpu, to a thousandth of a vCPU"),
    ("--cpu-quota", "use --cpu, to a thousandth of a vCPU"),
    ("--cpuset-cpus", "use --cpu, to a thousandth of a vCPU"),
    ("--cpuset-mems", "use --memory"),
    ("--memory-swap", "a task does not swap: use --memory"),
    ("--memory-swappiness", "a task does not swap: use --memory"),
    ("--memory-reservation", "use --memory: a task has all of it to itself"),
    ("--kernel-memory", "use --memory"),
    ("--oom-kill-disable", "use --memory to give it more"),
    ("--oom-score-adj", "use --memory to give it more"),
    ("--blkio-weight", "tasks share the disk evenly"),
    ("--blkio-weight-device", "tasks share the disk evenly"),
    (
        "--device-read-bps",
        "a task sees no devices of its host: use --io-maxbandwidth for its own disks",
    ),
    (
        "--device-write-bps",
        "a task sees no devices of its host: use --io-maxbandwidth for its own disks",
    ),
    (
        "--device-read-iops",
        "a task sees no devices of its host: use --io-maxiops for its own disks",
    ),
    (
        "--device-write-iops",
        "a task sees no devices of its host: use --io-maxiops for its own disks",
    ),
    ("--group-add", "give the group with --user USER:GROUP"),
    (
        "--storage-opt",
        "use --storage for a size, --storage-inodes for a number of files",
    ),
    (
        "--log-driver",
        "the host agent keeps all output: use `mote logs`, or --log-group",
    ),
    (
        "--log-opt",
        "the host agent keeps all output: use `mote logs`, or --log-group",
    ),
    (
        "--stop-signal",
        "the image says which signal stops it; use `mote kill -s` for another",
    ),
    (
        "--platform",
        "a task runs on its host's architecture: pull the image for that one",
    ),
    (
        "--sig-proxy",
        "a signal stops the task; use --detach to run it in the background",
    ),
    ("--detach-keys", "the keys are Ctrl-P Ctrl-Q"),
    (
        "--attach",
        "use --interactive for input; output is shown unless --detach is given",
    ),
    (
        "--disable-content-trust",
        "give the image by its digest to be sure of it",
    ),
    ("--use-api-socket", "a task sees no sockets of its host"),
];

/// What to say of an option that `error` is about, where Docker has it and mote does not.
pub fn sentence(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let name = option.split('=').next().unwrap_or(option);
    let (_, instead) = UNSUPPORTED.iter().find(|(known, _)| *known == name)?;
    Some(format!("mote has no option {name}: {instead}"))
}
