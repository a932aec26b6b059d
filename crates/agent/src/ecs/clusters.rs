//! Clusters and capacity providers.

use api::ecs::arn::{self, DEFAULT_CLUSTER, Resource};
use api::ecs::clusters::{
    CapacityProvider, Cluster, ClusterAnswer, CreateClusterRequest, DeleteClusterRequest,
    DescribeCapacityProvidersAnswer, DescribeCapacityProvidersRequest, DescribeClustersAnswer, DescribeClustersRequest,
    ListClustersAnswer, ListClustersRequest, PutClusterCapacityProvidersRequest, UpdateClusterRequest,
};
use api::ecs::error::{EcsError, ErrorKind};
use api::ecs::page;
use api::ecs::shapes::{Failure, NameValue};

use super::{Caller, Ecs, failed};
use crate::store::{Store, StoreError};

/// The most clusters that one request may name.
const DESCRIBE_MAX: usize = 100;

/// The list that page tokens are of.
const LIST: &str = "clusters";

/// The list of capacity providers, in tokens of its pages.
const PROVIDERS_LIST: &str = "capacity providers";

/// The capacity providers of one page, where a request does not say.
const PROVIDERS_PAGE_LEN: usize = 10;

/// The capacity providers that there are.
const PROVIDERS: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

/// Makes the cluster that every host has.
///
/// # Errors
/// Where the store cannot be written.
pub fn make_default(store: &Store) -> Result<(), StoreError> {
    match store.cluster::<Cluster>(DEFAULT_CLUSTER)? {
        Some(_) => Ok(()),
        None => store.put_cluster(DEFAULT_CLUSTER, true, &new(DEFAULT_CLUSTER)),
    }
}

fn new(name: &str) -> Cluster {
    Cluster {
        cluster_name: name.to_owned(),
        status: "ACTIVE".to_owned(),
        settings: vec![NameValue::new("containerInsights", "disabled")],
        ..Cluster::default()
    }
}

impl Ecs {
    pub(super) fn create_cluster(
        &self,
        caller: &Caller,
        request: CreateClusterRequest,
    ) -> Result<ClusterAnswer, EcsError> {
        let name = request.cluster_name.unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
        let name = arn::checked_name("cluster name", &name)?;
        let known: Option<Cluster> = self.store.cluster(&name).map_err(failed)?;
        // As ECS does: who creates a cluster that is there gets it as it is.
        if let Some(cluster) = known.filter(|cluster| cluster.status == "ACTIVE") {
            let cluster = self.told(caller, cluster, &["TAGS"])?;
            return Ok(ClusterAnswer { cluster });
        }
        let mut cluster = new(&name);
        cluster.configuration = request.configuration;
        if let Some(settings) = request.settings {
            cluster.settings = settings;
        }
        cluster.capacity_providers = request.capacity_providers.unwrap_or_default();
        cluster.default_capacity_provider_strategy = request.default_capacity_provider_strategy.unwrap_or_default();
        self.store.put_cluster(&name, true, &cluster).map_err(failed)?;
        self.catalogue
            .replace_tags(&format!("cluster/{name}"), request.tags.as_deref().unwrap_or_default())?;
        let cluster = self.told(caller, cluster, &["TAGS", "SETTINGS", "CONFIGURATIONS"])?;
        Ok(ClusterAnswer { cluster })
    }

    pub(super) fn describe_clusters(
        &self,
        caller: &Caller,
        request: &DescribeClustersRequest,
    ) -> Result<DescribeClustersAnswer, EcsError> {
        let references = request.clusters.clone().filter(|clusters| !clusters.is_empty());
        let references = references.unwrap_or_else(|| vec![DEFAULT_CLUSTER.to_owned()]);
        if references.len() > DESCRIBE_MAX {
            return Err(EcsError::invalid(format!(
                "clusters can name {DESCRIBE_MAX} clusters at the most."
            )));
        }
        let include: Vec<&str> = request.include.iter().flatten().map(String::as_str).collect();
        let mut answer = DescribeClustersAnswer::default();
        for reference in references {
            let name = arn::cluster(Some(&reference))?;
            match self.store.cluster::<Cluster>(&name).map_err(failed)? {
                Some(cluster) => answer.clusters.push(self.told(caller, cluster, &include)?),
                None => {
                    let arn = Resource::Cluster { name }.arn(&caller.region);
                    answer.failures.push(Failure::missing(arn));
                }
            }
        }
        Ok(answer)
    }

    pub(super) fn list_clusters(
        &self,
        caller: &Caller,
        request: &ListClustersRequest,
    ) -> Result<ListClustersAnswer, EcsError> {
        let size = page::size(request.max_results, 100)?;
        let behind = page::behind(LIST, request.next_token.as_deref())?.unwrap_or_default();
        let clusters: Vec<Cluster> = self.store.active_clusters(&behind, size + 1).map_err(failed)?;
        let (clusters, next_token) = page::cut(LIST, clusters, size, |cluster| cluster.cluster_name.clone());
        let arn = |cluster: Cluster| {
            Resource::Cluster {
                name: cluster.cluster_name,
            }
            .arn(&caller.region)
        };
        Ok(ListClustersAnswer {
            cluster_arns: clusters.into_iter().map(arn).collect(),
            next_token,
        })
    }

    pub(super) fn delete_cluster(
        &self,
        caller: &Caller,
        request: &DeleteClusterRequest,
    ) -> Result<ClusterAnswer, EcsError> {
        let name = arn::cluster(Some(&request.cluster))?;
        let mut cluster = self.catalogue.stored_cluster(&name)?;
        if name == DEFAULT_CLUSTER {
            return Err(EcsError::client(
                "The cluster default cannot be deleted: every host has it.",
            ));
        }
        if self.store.count_services(&name).map_err(failed)? > 0 {
            let message = "The Cluster cannot be deleted while Services are active.";
            return Err(EcsError::new(ErrorKind::ClusterContainsServices, message));
        }
        let (running, pending) = self.store.count_tasks(&name).map_err(failed)?;
        if running + pending > 0 {
            let message = "The Cluster cannot be deleted while Tasks are active.";
            return Err(EcsError::new(ErrorKind::ClusterContainsTasks, message));
        }
        cluster.status = "INACTIVE".to_owned();
        self.store.put_cluster(&name, false, &cluster).map_err(failed)?;
        self.store.untag(&format!("cluster/{name}"), None).map_err(failed)?;
        let cluster = self.told(caller, cluster, &[])?;
        Ok(ClusterAnswer { cluster })
    }

    pub(super) fn update_cluster(
        &self,
        caller: &Caller,
        request: UpdateClusterRequest,
    ) -> Result<ClusterAnswer, EcsError> {
        self.change_cluster(caller, &request.cluster, |cluster| {
            if let Some(settings) = request.settings {
                cluster.settings = settings;
            }
            if request.configuration.is_some() {
                cluster.configuration = request.configuration;
            }
        })
    }

    pub(super) fn put_cluster_capacity_providers(
        &self,
        caller: &Caller,
        request: PutClusterCapacityProvidersRequest,
    ) -> Result<ClusterAnswer, EcsError> {
        self.change_cluster(caller, &request.cluster, |cluster| {
            cluster.capacity_providers = request.capacity_providers;
            cluster.default_capacity_provider_strategy = request.default_capacity_provider_strategy;
        })
    }

    fn change_cluster(
        &self,
        caller: &Caller,
        reference: &str,
        change: impl FnOnce(&mut Cluster),
    ) -> Result<ClusterAnswer, EcsError> {
        let name = arn::cluster(Some(reference))?;
        let mut cluster = self.catalogue.stored_cluster(&name)?;
        change(&mut cluster);
        self.store.put_cluster(&name, true, &cluster).map_err(failed)?;
        let cluster = self.told(caller, cluster, &["TAGS", "SETTINGS", "CONFIGURATIONS"])?;
        Ok(ClusterAnswer { cluster })
    }

    /// A cluster with its counts, and of what is only told when asked for what `include` says.
    fn told(&self, caller: &Caller, mut cluster: Cluster, include: &[&str]) -> Result<Cluster, EcsError> {
        let name = cluster.cluster_name.clone();
        let (running, pending) = self.store.count_tasks(&name).map_err(failed)?;
        cluster.running_tasks_count = running;
        cluster.pending_tasks_count = pending;
        cluster.active_services_count = self.store.count_services(&name).map_err(failed)?;
        let has = |what| include.contains(&what);
        if has("TAGS") {
            cluster.tags = self.catalogue.tags_of(&format!("cluster/{name}"))?;
        }
        if !has("SETTINGS") {
            cluster.settings.clear();
        }
        cluster.configuration.take_if(|_| !has("CONFIGURATIONS"));
        if has("STATISTICS") {
            let statistics = [
                ("runningFargateTasksCount", running),
                ("pendingFargateTasksCount", pending),
                ("activeFargateServiceCount", cluster.active_services_count),
            ];
            cluster.statistics = statistics
                .iter()
                .map(|(name, count)| NameValue::new(*name, count.to_string()))
                .collect();
        }
        cluster.cluster_arn = Resource::Cluster { name }.arn(&caller.region);
        Ok(cluster)
    }

    #[expect(clippy::unused_self, reason = "all operations are methods")]
    pub(super) fn describe_capacity_providers(
        &self,
        caller: &Caller,
        request: &DescribeCapacityProvidersRequest,
    ) -> Result<DescribeCapacityProvidersAnswer, EcsError> {
        let size = page::size(request.max_results, PROVIDERS_PAGE_LEN)?;
        let behind = page::behind(PROVIDERS_LIST, request.next_token.as_deref())?;
        let arn = |name: &str| Resource::CapacityProvider { name: name.to_owned() }.arn(&caller.region);
        let mut answer = DescribeCapacityProvidersAnswer::default();
        let all = || PROVIDERS.map(str::to_owned).to_vec();
        let mut wanted = request.capacity_providers.clone().unwrap_or_else(all);
        if let Some(behind) = behind {
            let place = wanted.iter().position(|reference| *reference == behind);
            wanted.drain(..place.map_or(wanted.len(), |place| place + 1));
        }
        let (wanted, next_token) = page::cut(PROVIDERS_LIST, wanted, size, String::clone);
        answer.next_token = next_token;
        for reference in wanted {
            let name = match reference
                .starts_with("arn:")
                .then(|| arn::parse(&reference))
                .transpose()?
            {
                Some(Resource::CapacityProvider { name }) => name,
                _ => reference,
            };
            if PROVIDERS.contains(&name.as_str()) {
                answer.capacity_providers.push(CapacityProvider {
                    capacity_provider_arn: arn(&name),
                    status: "ACTIVE".to_owned(),
                    r#type: name.clone(),
                    name,
                });
            } else {
                answer.failures.push(Failure::missing(name));
            }
        }
        Ok(answer)
    }
}
