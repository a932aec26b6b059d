//! Requests about tasks and commands in them.

use super::Kind::{Boolean, Choice, Integer, List, Structure, Text};
use super::shapes::{
    CAPACITY_PROVIDER_STRATEGY, CLUSTER, ENVIRONMENT_FILES, EPHEMERAL_STORAGE, EXECUTE_COMMAND, INCLUDE_TAGS,
    LAUNCH_TYPE, MANAGED_TAGS, MAX_RESULTS, NAME_VALUES, NETWORK_CONFIGURATION, NEXT_TOKEN, ONE_CAPACITY, ONE_NETWORK,
    PROPAGATE_TAGS, TAGS, TEXTS,
};
use super::{Kind, Member};

const NO_IAM: &str = "there are no IAM roles";
const NO_PLACEMENT: &str = "a host places nothing: it is the only one";

const OVERRIDES: Kind = Structure(&[
    Member::honoured(
        "containerOverrides",
        List(&Structure(&[
            Member::honoured("name", Text),
            Member::honoured("command", TEXTS),
            Member::honoured("environment", NAME_VALUES),
            Member::honoured("environmentFiles", ENVIRONMENT_FILES),
            Member::honoured("cpu", Integer),
            Member::honoured("memory", Integer),
            Member::honoured("memoryReservation", Integer),
            Member::refused("resourceRequirements", "there are no GPUs and no accelerators"),
        ])),
    ),
    Member::honoured("cpu", Text),
    Member::refused("inferenceAcceleratorOverrides", "there are no accelerators"),
    Member::echoed("executionRoleArn", Text, NO_IAM),
    Member::honoured("memory", Text),
    Member::echoed("taskRoleArn", Text, NO_IAM),
    Member::honoured("ephemeralStorage", EPHEMERAL_STORAGE),
]);

pub const RUN: &[Member] = &[
    Member::echoed("capacityProviderStrategy", CAPACITY_PROVIDER_STRATEGY, ONE_CAPACITY),
    CLUSTER,
    Member::honoured("count", Integer),
    MANAGED_TAGS,
    EXECUTE_COMMAND,
    Member::honoured("group", Text),
    Member::honoured("launchType", LAUNCH_TYPE),
    Member::echoed("networkConfiguration", NETWORK_CONFIGURATION, ONE_NETWORK),
    Member::honoured("overrides", OVERRIDES),
    Member::refused("placementConstraints", NO_PLACEMENT),
    Member::refused("placementStrategy", NO_PLACEMENT),
    Member::echoed(
        "platformVersion",
        Choice(&["LATEST", "1.4.0"]),
        "there is one platform, which is told as 1.4.0",
    ),
    Member::honoured("propagateTags", PROPAGATE_TAGS),
    Member::echoed("referenceId", Text, "ECS has no use for it either"),
    Member::honoured("startedBy", Text),
    Member::honoured("tags", TAGS),
    Member::required("taskDefinition", Text),
    Member::honoured("clientToken", Text),
    Member::refused("volumeConfigurations", "there is no EBS"),
];

pub const STOP: &[Member] = &[
    CLUSTER,
    Member::required("task", Text),
    Member::honoured("reason", Text),
];

pub const DESCRIBE: &[Member] = &[CLUSTER, Member::required("tasks", TEXTS), INCLUDE_TAGS];

pub const LIST: &[Member] = &[
    CLUSTER,
    Member::refused("containerInstance", "there are no container instances"),
    Member::honoured("family", Text),
    NEXT_TOKEN,
    MAX_RESULTS,
    Member::honoured("startedBy", Text),
    Member::honoured("serviceName", Text),
    Member::honoured("desiredStatus", Choice(&["RUNNING", "PENDING", "STOPPED"])),
    Member::honoured(
        "launchType",
        Choice(&["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"]),
    ),
    Member::refused("daemonName", "there are no daemons"),
];

pub const EXECUTE: &[Member] = &[
    CLUSTER,
    Member::honoured("container", Text),
    Member::required("command", Text),
    Member::required("interactive", Boolean),
    Member::required("task", Text),
];

pub const GET_PROTECTION: &[Member] = &[Member::required("cluster", Text), Member::honoured("tasks", TEXTS)];

pub const UPDATE_PROTECTION: &[Member] = &[
    Member::required("cluster", Text),
    Member::required("tasks", TEXTS),
    Member::required("protectionEnabled", Boolean),
    Member::honoured("expiresInMinutes", Integer),
];
