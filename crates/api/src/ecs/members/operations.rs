//! The operations.

use super::{Member, account, clusters, definitions, services, tags, tasks};

/// An operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name.
    pub name: &'static str,
    /// The members of its request.
    pub members: &'static [Member],
}

const fn is(name: &'static str, members: &'static [Member]) -> Operation {
    Operation { name, members }
}

/// What is implemented.
pub const OPERATIONS: &[Operation] = &[
    is("CreateCluster", clusters::CREATE),
    is("DeleteAccountSetting", account::DELETE),
    is("DeleteCluster", clusters::DELETE),
    is("DeleteService", services::DELETE),
    is("DeleteTaskDefinitions", definitions::DELETE),
    is("CreateService", services::CREATE),
    is("DeregisterTaskDefinition", definitions::DEREGISTER),
    is("DescribeCapacityProviders", clusters::DESCRIBE_PROVIDERS),
    is("DescribeClusters", clusters::DESCRIBE),
    is("DescribeServiceDeployments", services::DESCRIBE_DEPLOYMENTS),
    is("DescribeServices", services::DESCRIBE),
    is("DescribeTaskDefinition", definitions::DESCRIBE),
    is("DescribeTasks", tasks::DESCRIBE),
    is("ExecuteCommand", tasks::EXECUTE),
    is("GetTaskProtection", tasks::GET_PROTECTION),
    is("ListAccountSettings", account::LIST),
    is("ListClusters", clusters::LIST),
    is("ListServiceDeployments", services::LIST_DEPLOYMENTS),
    is("ListServices", services::LIST),
    is("ListTagsForResource", tags::LIST),
    is("ListTaskDefinitionFamilies", definitions::LIST_FAMILIES),
    is("ListTaskDefinitions", definitions::LIST),
    is("ListTasks", tasks::LIST),
    is("PutAccountSetting", account::PUT),
    is("PutAccountSettingDefault", account::PUT_DEFAULT),
    is("PutClusterCapacityProviders", clusters::PUT_PROVIDERS),
    is("RegisterTaskDefinition", definitions::REGISTER),
    is("RunTask", tasks::RUN),
    is("StopServiceDeployment", services::STOP_DEPLOYMENT),
    is("StopTask", tasks::STOP),
    is("TagResource", tags::TAG),
    is("UntagResource", tags::UNTAG),
    is("UpdateCluster", clusters::UPDATE),
    is("UpdateClusterSettings", clusters::UPDATE_SETTINGS),
    is("UpdateService", services::UPDATE),
    is("UpdateTaskProtection", tasks::UPDATE_PROTECTION),
];

/// What ECS has and mote does not: the end of a sentence that begins with the operation's name.
pub const UNSUPPORTED: &[(&str, &[&str])] = &[
    (
        "a host has no container instances",
        &[
            "DeleteAttributes",
            "DeregisterContainerInstance",
            "DescribeContainerInstances",
            "DiscoverPollEndpoint",
            "ListAttributes",
            "ListContainerInstances",
            "PutAttributes",
            "RegisterContainerInstance",
            "StartTask",
            "SubmitAttachmentStateChanges",
            "SubmitContainerStateChange",
            "SubmitTaskStateChange",
            "UpdateContainerAgent",
            "UpdateContainerInstancesState",
        ],
    ),
    (
        "a host has the capacity providers FARGATE and FARGATE_SPOT, and no others",
        &[
            "CreateCapacityProvider",
            "DeleteCapacityProvider",
            "UpdateCapacityProvider",
        ],
    ),
    (
        "services are deployed by the host agent alone",
        &[
            "CreateTaskSet",
            "DeleteTaskSet",
            "DescribeTaskSets",
            "UpdateServicePrimaryTaskSet",
            "UpdateTaskSet",
        ],
    ),
    (
        "deployments are rolling ones, without hooks and revisions to go back to by hand",
        &["ContinueServiceDeployment", "DescribeServiceRevisions"],
    ),
    ("there is no Service Connect", &["ListServicesByNamespace"]),
    (
        "there are no express services",
        &[
            "CreateExpressGatewayService",
            "DeleteExpressGatewayService",
            "DescribeExpressGatewayService",
            "UpdateExpressGatewayService",
        ],
    ),
    (
        "there are no gateways",
        &[
            "AssociateGatewayWithCluster",
            "CreateGateway",
            "DeleteGateway",
            "DescribeGateway",
            "DescribeGatewayResources",
            "DescribeGatewayRoute",
            "DisassociateGatewayFromCluster",
            "ListGatewayClusterAssociations",
            "ListGatewayRoutes",
            "ListGateways",
            "UpdateGateway",
        ],
    ),
    (
        "there are no daemons: a service with one task is as good on one host",
        &[
            "CreateDaemon",
            "DeleteDaemon",
            "DeleteDaemonTaskDefinition",
            "DescribeDaemon",
            "DescribeDaemonDeployments",
            "DescribeDaemonRevisions",
            "DescribeDaemonTaskDefinition",
            "ListDaemonDeployments",
            "ListDaemonTaskDefinitions",
            "ListDaemons",
            "RegisterDaemonTaskDefinition",
            "UpdateDaemon",
        ],
    ),
];

/// The operation with this name, where it is implemented.
#[must_use]
pub fn operation(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}
