//! Requests about services and their deployments.

use super::Kind::{Boolean, Choice, Integer, List, Structure, Text, Time};
use super::shapes::{
    CAPACITY_PROVIDER_STRATEGY, CLUSTER, EXECUTE_COMMAND, INCLUDE_TAGS, LAUNCH_TYPE, MANAGED_TAGS, MAX_RESULTS,
    NETWORK_CONFIGURATION, NEXT_TOKEN, ONE_CAPACITY, ONE_NETWORK, PROPAGATE_TAGS, TAGS, TEXTS,
};
use super::{Kind, Member};

const NO_BALANCER: &str = "there are no load balancers";
const NO_PLACEMENT: &str = "a host places nothing: it is the only one";
const ROLLING_ONLY: &str = "deployments are rolling ones";

const DEPLOYMENT_CONFIGURATION: Member = Member::honoured(
    "deploymentConfiguration",
    Structure(&[
        Member::honoured(
            "deploymentCircuitBreaker",
            Structure(&[
                Member::required("enable", Boolean),
                Member::required("rollback", Boolean),
                Member::honoured("resetOnHealthyTask", Boolean),
                Member::honoured(
                    "thresholdConfiguration",
                    Structure(&[
                        Member::required("type", Choice(&["COUNT", "BOUNDED_PERCENT", "UNBOUNDED_PERCENT"])),
                        Member::required("value", Integer),
                    ]),
                ),
            ]),
        ),
        Member::honoured("maximumPercent", Integer),
        Member::honoured("minimumHealthyPercent", Integer),
        Member::refused("alarms", "there is no CloudWatch"),
        Member::honoured("strategy", Choice(&["ROLLING"])),
        Member::refused("bakeTimeInMinutes", ROLLING_ONLY),
        Member::refused("lifecycleHooks", "there are no functions to call"),
        Member::refused("linearConfiguration", ROLLING_ONLY),
        Member::refused("canaryConfiguration", ROLLING_ONLY),
        Member::refused(
            "earlySuccessCriteria",
            "a deployment is complete when all its tasks run",
        ),
    ]),
);

const ZONES: Member = Member::echoed(
    "availabilityZoneRebalancing",
    Choice(&["ENABLED", "DISABLED"]),
    "a host is in one zone",
);

const CONTROLLER: Member = Member::honoured(
    "deploymentController",
    Structure(&[Member::required("type", Choice(&["ECS"]))]),
);

const NETWORK: Member = Member::echoed("networkConfiguration", NETWORK_CONFIGURATION, ONE_NETWORK);
const STRATEGY: Member = Member::echoed("capacityProviderStrategy", CAPACITY_PROVIDER_STRATEGY, ONE_CAPACITY);
const PLATFORM: Member = Member::echoed(
    "platformVersion",
    Choice(&["LATEST", "1.4.0"]),
    "there is one platform, which is told as 1.4.0",
);
const GRACE_PERIOD: Member = Member::honoured("healthCheckGracePeriodSeconds", Integer);
const CONSTRAINTS: Member = Member::refused("placementConstraints", NO_PLACEMENT);
const PLACEMENT: Member = Member::refused("placementStrategy", NO_PLACEMENT);
const BALANCERS: Member = Member::refused("loadBalancers", NO_BALANCER);
const REGISTRIES: Member = Member::refused("serviceRegistries", "there is no service discovery");
const CONNECT: Member = Member::refused("serviceConnectConfiguration", "there is no Service Connect");
const VOLUMES: Member = Member::refused("volumeConfigurations", "there is no EBS");
const LATTICE: Member = Member::refused("vpcLatticeConfigurations", "there is no VPC Lattice");
const GATEWAYS: Member = Member::refused("gatewayConnectors", "there are no gateways");
const MONITORING: Member = Member::refused("monitoring", "there is no CloudWatch: metrics are at /metrics");
const PROPAGATE: Member = Member::honoured("propagateTags", PROPAGATE_TAGS);
const COUNT: Member = Member::honoured("desiredCount", Integer);
const SERVICE: Member = Member::required("service", Text);

pub const CREATE: &[Member] = &[
    CLUSTER,
    Member::required("serviceName", Text),
    Member::honoured("taskDefinition", Text),
    ZONES,
    BALANCERS,
    REGISTRIES,
    COUNT,
    Member::honoured("clientToken", Text),
    Member::honoured("launchType", LAUNCH_TYPE),
    STRATEGY,
    PLATFORM,
    Member::refused("role", NO_BALANCER),
    DEPLOYMENT_CONFIGURATION,
    CONSTRAINTS,
    PLACEMENT,
    NETWORK,
    GRACE_PERIOD,
    Member::honoured("schedulingStrategy", Choice(&["REPLICA"])),
    CONTROLLER,
    Member::honoured("tags", TAGS),
    MANAGED_TAGS,
    PROPAGATE,
    EXECUTE_COMMAND,
    CONNECT,
    VOLUMES,
    LATTICE,
    GATEWAYS,
    MONITORING,
];

pub const UPDATE: &[Member] = &[
    CLUSTER,
    SERVICE,
    COUNT,
    Member::honoured("taskDefinition", Text),
    STRATEGY,
    DEPLOYMENT_CONFIGURATION,
    ZONES,
    NETWORK,
    CONSTRAINTS,
    PLACEMENT,
    PLATFORM,
    Member::honoured("forceNewDeployment", Boolean),
    GRACE_PERIOD,
    CONTROLLER,
    EXECUTE_COMMAND,
    MANAGED_TAGS,
    BALANCERS,
    PROPAGATE,
    REGISTRIES,
    CONNECT,
    VOLUMES,
    LATTICE,
    GATEWAYS,
    MONITORING,
];

pub const DESCRIBE: &[Member] = &[CLUSTER, Member::required("services", TEXTS), INCLUDE_TAGS];

pub const LIST: &[Member] = &[
    CLUSTER,
    NEXT_TOKEN,
    MAX_RESULTS,
    Member::honoured(
        "launchType",
        Choice(&["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"]),
    ),
    Member::honoured("schedulingStrategy", Choice(&["REPLICA", "DAEMON"])),
    Member::honoured("resourceManagementType", Choice(&["CUSTOMER", "ECS"])),
];

pub const DELETE: &[Member] = &[CLUSTER, SERVICE, Member::honoured("force", Boolean)];

const STATUSES: Kind = Choice(&[
    "PENDING",
    "SUCCESSFUL",
    "STOPPED",
    "STOP_REQUESTED",
    "IN_PROGRESS",
    "ROLLBACK_REQUESTED",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_SUCCESSFUL",
    "ROLLBACK_FAILED",
]);

pub const LIST_DEPLOYMENTS: &[Member] = &[
    SERVICE,
    CLUSTER,
    Member::honoured("status", List(&STATUSES)),
    Member::honoured(
        "createdAt",
        Structure(&[Member::honoured("before", Time), Member::honoured("after", Time)]),
    ),
    NEXT_TOKEN,
    MAX_RESULTS,
];

pub const DESCRIBE_DEPLOYMENTS: &[Member] = &[Member::required("serviceDeploymentArns", TEXTS)];

pub const STOP_DEPLOYMENT: &[Member] = &[
    Member::required("serviceDeploymentArn", Text),
    Member::honoured("stopType", Choice(&["ABORT", "ROLLBACK"])),
];
