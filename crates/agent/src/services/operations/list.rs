//! `ListServices`.

use api::ecs::arn::Resource;
use api::ecs::error::EcsError;
use api::ecs::page;
use api::ecs::services::{ListServicesAnswer, ListServicesRequest};

use super::Context;

/// The services of one page, where a request does not say.
const PAGE_LEN: usize = 10;

/// The services of a cluster that are not inactive, by name.
///
/// # Errors
/// What is wrong with the request.
pub fn list(context: Context<'_>, request: &ListServicesRequest) -> Result<ListServicesAnswer, EcsError> {
    let cluster = context.catalogue.cluster(request.cluster.as_deref())?;
    let size = page::size(request.max_results, PAGE_LEN)?;
    let list = format!("services/{cluster}");
    let behind = page::behind(&list, request.next_token.as_deref())?;
    let is_none_meant = is_other(request.launch_type.as_deref(), "FARGATE")
        || is_other(request.scheduling_strategy.as_deref(), "REPLICA")
        || is_other(request.resource_management_type.as_deref(), "CUSTOMER");
    if is_none_meant {
        return Ok(ListServicesAnswer::default());
    }
    let names = (context.services.list(Some(&cluster)).into_iter())
        .map(|service| service.name.clone())
        .skip_while(|name| behind.as_ref().is_some_and(|behind| name <= behind));
    let (shown, next_token) = page::cut(&list, names, size, String::clone);
    let arn = |name| {
        let cluster = cluster.clone();
        Resource::Service { cluster, name }.arn(context.region)
    };
    Ok(ListServicesAnswer {
        service_arns: shown.into_iter().map(arn).collect(),
        next_token,
    })
}

fn is_other(wanted: Option<&str>, only: &str) -> bool {
    wanted.is_some_and(|wanted| wanted != only)
}
