//! `ListServices`.

use api::ecs::arn::Resource;
use api::ecs::error::EcsError;
use api::ecs::page;
use api::ecs::services::{ListServicesAnswer, ListServicesRequest};

use super::Context;

/// The services of one page, where a request does not say.
const PAGE_LEN: usize = 10;

/// The most things of one page.
const PAGE_LEN_MAX: usize = 100;

/// The services of a cluster that are not inactive, by name.
///
/// # Errors
/// What is wrong with the request.
pub fn list(context: Context<'_>, request: &ListServicesRequest) -> Result<ListServicesAnswer, EcsError> {
    let cluster = context.catalogue.cluster(request.cluster.as_deref())?;
    let count = page_len(request.max_results, PAGE_LEN)?;
    let list = format!("services/{cluster}");
    let behind = (request.next_token.as_deref())
        .map(|token| page::parse(&list, token))
        .transpose()?;
    let is_none_meant = is_other(request.launch_type.as_deref(), "FARGATE")
        || is_other(request.scheduling_strategy.as_deref(), "REPLICA")
        || is_other(request.resource_management_type.as_deref(), "CUSTOMER");
    if is_none_meant {
        return Ok(ListServicesAnswer::default());
    }
    let mut names = (context.services.list(Some(&cluster)).into_iter())
        .map(|service| service.name.clone())
        .skip_while(|name| behind.as_ref().is_some_and(|behind| name <= behind))
        .peekable();
    let shown: Vec<String> = names.by_ref().take(count).collect();
    let next_token = (names.peek().is_some())
        .then(|| shown.last())
        .flatten()
        .map(|last| page::token(&list, last));
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

/// How much a page is to hold.
pub fn page_len(wanted: Option<i64>, usual: usize) -> Result<usize, EcsError> {
    let Some(wanted) = wanted else {
        return Ok(usual);
    };
    usize::try_from(wanted)
        .ok()
        .filter(|wanted| (1..=PAGE_LEN_MAX).contains(wanted))
        .ok_or_else(|| EcsError::invalid(format!("maxResults is {wanted}: it has to be 1 to {PAGE_LEN_MAX}")))
}
