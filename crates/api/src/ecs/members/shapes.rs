//! Structures that several operations have.

use super::Kind::{Boolean, Choice, Integer, List, Structure, Text};
use super::{Kind, Member};

pub const ONE_NETWORK: &str = "a host has one network, which every task is attached to";
pub const ONE_CAPACITY: &str = "a host has one capacity, whatever it is called";

pub const TEXTS: Kind = List(&Text);

pub const TAGS: Kind = List(&Structure(&[
    Member::honoured("key", Text),
    Member::honoured("value", Text),
]));

pub const NAME_VALUES: Kind = List(&Structure(&[
    Member::honoured("name", Text),
    Member::honoured("value", Text),
]));

pub const NETWORK_CONFIGURATION: Kind = Structure(&[Member::echoed(
    "awsvpcConfiguration",
    Structure(&[
        Member {
            is_required: true,
            ..Member::echoed("subnets", TEXTS, ONE_NETWORK)
        },
        Member::echoed("securityGroups", TEXTS, ONE_NETWORK),
        Member::echoed("assignPublicIp", Choice(&["ENABLED", "DISABLED"]), ONE_NETWORK),
    ]),
    ONE_NETWORK,
)]);

pub const CAPACITY_PROVIDER_STRATEGY: Kind = List(&Structure(&[
    Member {
        is_required: true,
        ..Member::echoed("capacityProvider", Choice(&["FARGATE", "FARGATE_SPOT"]), ONE_CAPACITY)
    },
    Member::echoed("weight", Integer, ONE_CAPACITY),
    Member::echoed("base", Integer, ONE_CAPACITY),
]));

pub const ENVIRONMENT_FILES: Kind = List(&Structure(&[
    Member::required("value", Text),
    Member::required("type", Choice(&["s3"])),
]));

pub const EPHEMERAL_STORAGE: Kind = Structure(&[Member::required("sizeInGiB", Integer)]);

pub const LAUNCH_TYPE: Kind = Choice(&["FARGATE"]);

pub const PROPAGATE_TAGS: Kind = Choice(&["TASK_DEFINITION", "SERVICE", "NONE"]);

pub const CLUSTER: Member = Member::honoured("cluster", Text);
pub const NEXT_TOKEN: Member = Member::honoured("nextToken", Text);
pub const MAX_RESULTS: Member = Member::honoured("maxResults", Integer);
pub const INCLUDE_TAGS: Member = Member::honoured("include", List(&Choice(&["TAGS"])));
pub const MANAGED_TAGS: Member = Member::honoured("enableECSManagedTags", Boolean);
pub const EXECUTE_COMMAND: Member = Member::honoured("enableExecuteCommand", Boolean);
