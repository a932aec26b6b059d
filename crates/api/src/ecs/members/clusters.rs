//! Requests about clusters and capacity providers.

use super::Kind::{Boolean, Choice, List, Structure, Text};
use super::shapes::{CAPACITY_PROVIDER_STRATEGY, INCLUDE_TAGS, MAX_RESULTS, NEXT_TOKEN, ONE_CAPACITY, TAGS, TEXTS};
use super::{Kind, Member};

const NO_CLOUD_SERVICE: &str = "it configures services of the cloud";
const NO_SERVICE_CONNECT: &str = "there is no Service Connect";

const PROVIDERS: Kind = List(&Choice(&["FARGATE", "FARGATE_SPOT"]));

const SETTINGS: Member = Member::echoed(
    "settings",
    List(&Structure(&[
        Member::echoed("name", Choice(&["containerInsights"]), NO_CLOUD_SERVICE),
        Member::echoed("value", Text, NO_CLOUD_SERVICE),
    ])),
    NO_CLOUD_SERVICE,
);

const CONFIGURATION: Member = Member::echoed(
    "configuration",
    Structure(&[
        Member::echoed(
            "executeCommandConfiguration",
            Structure(&[
                Member::echoed("kmsKeyId", Text, NO_CLOUD_SERVICE),
                Member::echoed("logging", Choice(&["NONE", "DEFAULT", "OVERRIDE"]), NO_CLOUD_SERVICE),
                Member::echoed(
                    "logConfiguration",
                    Structure(&[
                        Member::echoed("cloudWatchLogGroupName", Text, NO_CLOUD_SERVICE),
                        Member::echoed("cloudWatchEncryptionEnabled", Boolean, NO_CLOUD_SERVICE),
                        Member::echoed("s3BucketName", Text, NO_CLOUD_SERVICE),
                        Member::echoed("s3EncryptionEnabled", Boolean, NO_CLOUD_SERVICE),
                        Member::echoed("s3KeyPrefix", Text, NO_CLOUD_SERVICE),
                    ]),
                    NO_CLOUD_SERVICE,
                ),
            ]),
            NO_CLOUD_SERVICE,
        ),
        Member::echoed(
            "managedStorageConfiguration",
            Structure(&[
                Member::echoed("kmsKeyId", Text, NO_CLOUD_SERVICE),
                Member::echoed("fargateEphemeralStorageKmsKeyId", Text, NO_CLOUD_SERVICE),
            ]),
            NO_CLOUD_SERVICE,
        ),
    ]),
    NO_CLOUD_SERVICE,
);

const CLUSTER: Member = Member::required("cluster", Text);

pub const CREATE: &[Member] = &[
    Member::honoured("clusterName", Text),
    Member::honoured("tags", TAGS),
    SETTINGS,
    CONFIGURATION,
    Member::echoed("capacityProviders", PROVIDERS, ONE_CAPACITY),
    Member::echoed(
        "defaultCapacityProviderStrategy",
        CAPACITY_PROVIDER_STRATEGY,
        ONE_CAPACITY,
    ),
    Member::refused("serviceConnectDefaults", NO_SERVICE_CONNECT),
];

pub const DESCRIBE: &[Member] = &[
    Member::honoured("clusters", TEXTS),
    Member::honoured(
        "include",
        List(&Choice(&[
            "ATTACHMENTS",
            "CONFIGURATIONS",
            "SETTINGS",
            "STATISTICS",
            "TAGS",
        ])),
    ),
];

pub const LIST: &[Member] = &[NEXT_TOKEN, MAX_RESULTS];

pub const DELETE: &[Member] = &[CLUSTER];

pub const UPDATE: &[Member] = &[
    CLUSTER,
    SETTINGS,
    CONFIGURATION,
    Member::refused("serviceConnectDefaults", NO_SERVICE_CONNECT),
];

pub const UPDATE_SETTINGS: &[Member] = &[
    CLUSTER,
    Member {
        is_required: true,
        ..SETTINGS
    },
];

pub const PUT_PROVIDERS: &[Member] = &[
    CLUSTER,
    Member {
        is_required: true,
        ..Member::echoed("capacityProviders", PROVIDERS, ONE_CAPACITY)
    },
    Member {
        is_required: true,
        ..Member::echoed(
            "defaultCapacityProviderStrategy",
            CAPACITY_PROVIDER_STRATEGY,
            ONE_CAPACITY,
        )
    },
];

pub const DESCRIBE_PROVIDERS: &[Member] = &[
    Member::honoured("capacityProviders", TEXTS),
    Member::refused("cluster", "every cluster has the same capacity providers; leave it out"),
    INCLUDE_TAGS,
    MAX_RESULTS,
    NEXT_TOKEN,
];
