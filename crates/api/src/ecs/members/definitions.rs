//! Requests about task definitions.

use super::Kind::{Choice, List, Structure, Text};
use super::Member;
use super::containers::CONTAINER;
use super::shapes::{EPHEMERAL_STORAGE, INCLUDE_TAGS, MAX_RESULTS, NEXT_TOKEN, TAGS, TEXTS};

const NO_IAM: &str = "there are no IAM roles: what a task may do is what its network and its secrets allow";

pub const REGISTER: &[Member] = &[
    Member::required("family", Text),
    Member::echoed("taskRoleArn", Text, NO_IAM),
    Member::echoed("executionRoleArn", Text, NO_IAM),
    Member::honoured("networkMode", Choice(&["awsvpc", "bridge", "none"])),
    Member::required("containerDefinitions", List(&Structure(CONTAINER))),
    Member::honoured(
        "volumes",
        List(&Structure(&[
            Member::honoured("name", Text),
            Member::honoured("host", Structure(&[Member::honoured("sourcePath", Text)])),
            Member::refused(
                "dockerVolumeConfiguration",
                "there is no Docker; leave it out for a volume that lasts as long as its task",
            ),
            Member::refused("efsVolumeConfiguration", "there is no EFS"),
            Member::refused("s3filesVolumeConfiguration", "there is no S3"),
            Member::refused("fsxWindowsFileServerVolumeConfiguration", "there is no FSx"),
            Member::refused("configuredAtLaunch", "there is no EBS"),
        ])),
    ),
    Member::refused("placementConstraints", "a host places nothing: it is the only one"),
    Member::echoed(
        "requiresCompatibilities",
        List(&Choice(&["EC2", "FARGATE"])),
        "a host runs every definition that it accepts",
    ),
    Member::honoured("cpu", Text),
    Member::honoured("memory", Text),
    Member::honoured("tags", TAGS),
    Member::refused("pidMode", "containers of a task do not share processes"),
    Member::refused("ipcMode", "containers of a task do not share System V IPC"),
    Member::refused("proxyConfiguration", "there is no App Mesh"),
    Member::refused("inferenceAccelerators", "there are no accelerators"),
    Member::honoured("ephemeralStorage", EPHEMERAL_STORAGE),
    Member::honoured(
        "runtimePlatform",
        Structure(&[
            Member::honoured("cpuArchitecture", Choice(&["X86_64"])),
            Member::honoured("operatingSystemFamily", Choice(&["LINUX"])),
        ]),
    ),
    Member::refused("enableFaultInjection", "there is no fault injection"),
    Member::echoed(
        "trustedExecutionConfiguration",
        Structure(&[
            Member {
                is_required: true,
                ..Member::echoed(
                    "isolationMode",
                    Choice(&["SHARED", "ISOLATED_SANDBOX"]),
                    "every task has a microVM of its own",
                )
            },
            Member::refused("attestationPolicy", "there is no attestation"),
        ]),
        "every task has a microVM of its own",
    ),
];

const TASK_DEFINITION: Member = Member::required("taskDefinition", Text);

pub const DESCRIBE: &[Member] = &[TASK_DEFINITION, INCLUDE_TAGS];

pub const DEREGISTER: &[Member] = &[TASK_DEFINITION];

pub const DELETE: &[Member] = &[Member::required("taskDefinitions", TEXTS)];

pub const LIST: &[Member] = &[
    Member::honoured("familyPrefix", Text),
    Member::honoured("status", Choice(&["ACTIVE", "INACTIVE", "DELETE_IN_PROGRESS"])),
    Member::honoured("sort", Choice(&["ASC", "DESC"])),
    NEXT_TOKEN,
    MAX_RESULTS,
];

pub const LIST_FAMILIES: &[Member] = &[
    Member::honoured("familyPrefix", Text),
    Member::honoured("status", Choice(&["ACTIVE", "INACTIVE", "ALL"])),
    NEXT_TOKEN,
    MAX_RESULTS,
];
