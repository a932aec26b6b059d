//! `DescribeServices`.

use api::ecs::arn::{self, Resource};
use api::ecs::error::EcsError;
use api::ecs::services::{DESCRIBE_SERVICES_MAX, DescribeServicesAnswer, DescribeServicesRequest};
use api::ecs::shapes::Failure;

use super::{Context, answer};

/// Tells of services. One that is not there is a failure in the answer, and none of the request.
///
/// # Errors
/// What is wrong with the request.
pub async fn describe(
    context: Context<'_>,
    request: DescribeServicesRequest,
) -> Result<DescribeServicesAnswer, EcsError> {
    let cluster = context.catalogue.cluster(request.cluster.as_deref())?;
    if request.services.is_empty() {
        return Err(EcsError::invalid("Services cannot be empty."));
    }
    if request.services.len() > DESCRIBE_SERVICES_MAX {
        return Err(EcsError::invalid(format!(
            "services has {} members: at most {DESCRIBE_SERVICES_MAX} can be described at a time",
            request.services.len()
        )));
    }
    let with_tags = request.include.iter().flatten().any(|what| what == "TAGS");
    let mut told = DescribeServicesAnswer::default();
    for reference in &request.services {
        let name = arn::service(reference, &cluster)?;
        let found = match &name {
            Some(name) => context.services.get(&cluster, name).await?,
            None => None,
        };
        let Some(service) = found else {
            let missing = name.map_or_else(
                || reference.clone(),
                |name| {
                    let cluster = cluster.clone();
                    Resource::Service { cluster, name }.arn(context.region)
                },
            );
            told.failures.push(Failure::missing(missing));
            continue;
        };
        let tags = with_tags
            .then(|| context.catalogue.tags(&cluster, &service.name))
            .transpose()?;
        told.services.push(answer::service(context, &service, tags.as_deref()));
    }
    Ok(told)
}
