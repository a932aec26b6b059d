//! Services and their deployments.

mod answer;
mod configuration;
mod request;

pub use answer::{
    Deployment, DescribeServiceDeploymentsAnswer, DescribeServicesAnswer, ListServiceDeploymentsAnswer,
    ListServicesAnswer, Rollback, Service, ServiceAnswer, ServiceDeployment, ServiceDeploymentBrief,
    ServiceDeploymentCircuitBreaker, ServiceEvent, ServiceRevisionSummary, StopServiceDeploymentAnswer,
};
pub use configuration::{
    DeploymentCircuitBreaker, DeploymentConfiguration, DeploymentController, ThresholdConfiguration,
};
pub use request::{
    CreateServiceRequest, CreatedAt, DESCRIBE_SERVICES_MAX, DeleteServiceRequest, DescribeServiceDeploymentsRequest,
    DescribeServicesRequest, ListServiceDeploymentsRequest, ListServicesRequest, StopServiceDeploymentRequest,
    UpdateServiceRequest,
};
