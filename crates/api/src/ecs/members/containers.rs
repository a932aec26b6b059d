//! The members of a container definition.

use super::Kind::{Boolean, Choice, Integer, List, Map, Structure, Text};
use super::shapes::{ENVIRONMENT_FILES, NAME_VALUES, TEXTS};
use super::{Kind, Member};

const SECRETS: Kind = List(&Structure(&[
    Member::required("name", Text),
    Member::required("valueFrom", Text),
]));

const ULIMITS: &[&str] = &[
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

pub const CONTAINER: &[Member] = &[
    Member::honoured("name", Text),
    Member::honoured("image", Text),
    Member::refused(
        "repositoryCredentials",
        "credentials of registries are those of the host agent's Docker configuration",
    ),
    Member::honoured("cpu", Integer),
    Member::honoured("memory", Integer),
    Member::honoured("memoryReservation", Integer),
    Member::refused("links", "containers of a task reach each other at 127.0.0.1"),
    Member::honoured("portMappings", PORT_MAPPINGS),
    Member::honoured("essential", Boolean),
    Member::honoured(
        "restartPolicy",
        Structure(&[
            Member::required("enabled", Boolean),
            Member::honoured("ignoredExitCodes", List(&Integer)),
            Member::honoured("restartAttemptPeriod", Integer),
        ]),
    ),
    Member::honoured("entryPoint", TEXTS),
    Member::honoured("command", TEXTS),
    Member::honoured("environment", NAME_VALUES),
    Member::honoured("environmentFiles", ENVIRONMENT_FILES),
    Member::honoured(
        "mountPoints",
        List(&Structure(&[
            Member::honoured("sourceVolume", Text),
            Member::honoured("containerPath", Text),
            Member::honoured("readOnly", Boolean),
        ])),
    ),
    Member::refused("volumesFrom", "mount the same volume of the task in both containers"),
    Member::honoured("linuxParameters", LINUX_PARAMETERS),
    Member::honoured("secrets", SECRETS),
    Member::honoured(
        "dependsOn",
        List(&Structure(&[
            Member::required("containerName", Text),
            Member::required("condition", Choice(&["START", "COMPLETE", "SUCCESS", "HEALTHY"])),
        ])),
    ),
    Member::honoured("startTimeout", Integer),
    Member::honoured("stopTimeout", Integer),
    Member::echoed(
        "versionConsistency",
        Choice(&["enabled", "disabled"]),
        "an image is what its name means when a task starts; name a digest for one that never changes",
    ),
    Member::honoured("hostname", Text),
    Member::honoured("user", Text),
    Member::honoured("workingDirectory", Text),
    Member::refused(
        "disableNetworking",
        "containers of a task share its network; use networkMode none for a task without",
    ),
    Member::honoured("privileged", Boolean),
    Member::honoured("readonlyRootFilesystem", Boolean),
    Member::honoured("dnsServers", TEXTS),
    Member::refused("dnsSearchDomains", "names are looked up as they are written"),
    Member::honoured(
        "extraHosts",
        List(&Structure(&[
            Member::required("hostname", Text),
            Member::required("ipAddress", Text),
        ])),
    ),
    Member::honoured(
        "dockerSecurityOptions",
        List(&Choice(&["no-new-privileges", "no-new-privileges:true"])),
    ),
    Member::honoured("interactive", Boolean),
    Member::honoured("pseudoTerminal", Boolean),
    Member::honoured("dockerLabels", Map),
    Member::honoured(
        "ulimits",
        List(&Structure(&[
            Member::required("name", Choice(ULIMITS)),
            Member::required("softLimit", Integer),
            Member::required("hardLimit", Integer),
        ])),
    ),
    Member::honoured(
        "logConfiguration",
        Structure(&[
            Member::required("logDriver", Choice(&["awslogs"])),
            Member::honoured("options", Map),
            Member::refused("secretOptions", "no option of awslogs is a secret"),
        ]),
    ),
    Member::honoured("healthCheck", HEALTH_CHECK),
    Member::honoured(
        "systemControls",
        List(&Structure(&[
            Member::honoured("namespace", Text),
            Member::honoured("value", Text),
        ])),
    ),
    Member::refused("resourceRequirements", "there are no GPUs and no accelerators"),
    Member::refused(
        "firelensConfiguration",
        "there is no FireLens: all output goes to the host agent's logs",
    ),
    Member::refused("credentialSpecs", "there is no Active Directory"),
];

const PORT_MAPPINGS: Kind = List(&Structure(&[
    Member::honoured("containerPort", Integer),
    Member::honoured("hostPort", Integer),
    Member::honoured("protocol", Choice(&["tcp", "udp"])),
    Member::echoed(
        "name",
        Text,
        "it names a port for Service Connect, which there is none of",
    ),
    Member::echoed(
        "appProtocol",
        Choice(&["http", "http2", "grpc"]),
        "it tells Service Connect, which there is none of",
    ),
    Member::refused("containerPortRange", "name each port"),
]));

const LINUX_PARAMETERS: Kind = Structure(&[
    Member::honoured(
        "capabilities",
        Structure(&[Member::honoured("add", TEXTS), Member::honoured("drop", TEXTS)]),
    ),
    Member::refused("devices", "a microVM has none of its host's devices"),
    Member::honoured("initProcessEnabled", Boolean),
    Member::honoured("sharedMemorySize", Integer),
    Member::honoured(
        "tmpfs",
        List(&Structure(&[
            Member::required("containerPath", Text),
            Member::required("size", Integer),
            Member::honoured("mountOptions", TEXTS),
        ])),
    ),
    Member::refused("maxSwap", "a microVM has no swap space"),
    Member::refused("swappiness", "a microVM has no swap space"),
]);

const HEALTH_CHECK: Kind = Structure(&[
    Member::required("command", TEXTS),
    Member::honoured("interval", Integer),
    Member::honoured("timeout", Integer),
    Member::honoured("retries", Integer),
    Member::honoured("startPeriod", Integer),
]);
