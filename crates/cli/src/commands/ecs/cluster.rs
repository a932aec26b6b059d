//! `mote cluster`.

use anyhow::Result;
use api::client::Client;
use serde_json::{Value, json};

use super::{PAGE_LEN, check_failures, items, number, request, short_name, tags, text};
use crate::args::{Cluster, ClusterCreate, ClusterLs};
use crate::commands::task_name::for_each;
use crate::{host, output};

/// `mote cluster`.
pub async fn cluster(host: Option<String>, verb: Cluster) -> Result<u8> {
    let client = host::connect(host).await?;
    match verb {
        Cluster::Create(arguments) => create(&client, arguments).await,
        Cluster::List(arguments) => list(&client, arguments).await,
        Cluster::Rm(arguments) => {
            for_each(&arguments.clusters, async |name| {
                let _: Value = client.ecs("DeleteCluster", &json!({"cluster": name})).await?;
                Ok(name)
            })
            .await
        }
    }
}

async fn create(client: &Client, arguments: ClusterCreate) -> Result<u8> {
    let document = request(json!({"clusterName": arguments.name, "tags": tags(&arguments.tag)?}));
    let answer: Value = client.ecs("CreateCluster", &document).await?;
    output::line(text(&answer["cluster"], "clusterName"))?;
    Ok(0)
}

async fn list(client: &Client, arguments: ClusterLs) -> Result<u8> {
    let mut clusters = Vec::new();
    let mut next = Value::Null;
    loop {
        let document = request(json!({"maxResults": PAGE_LEN, "nextToken": next}));
        let mut page: Value = client.ecs("ListClusters", &document).await?;
        let arns = items(&mut page, "clusterArns");
        if !arns.is_empty() {
            let mut described: Value = client.ecs("DescribeClusters", &json!({"clusters": arns})).await?;
            check_failures(&mut described)?;
            clusters.extend(items(&mut described, "clusters"));
        }
        next = page["nextToken"].take();
        if next.is_null() {
            break;
        }
    }
    let header = ["NAME", "STATUS", "RUNNING", "PENDING", "SERVICES"];
    let name = |cluster: &Value| short_name(text(cluster, "clusterArn")).to_owned();
    output::quiet_list(&arguments.listing, &clusters, &header, row, name)?;
    Ok(0)
}

fn row(cluster: &Value) -> Vec<String> {
    vec![
        text(cluster, "clusterName").to_owned(),
        text(cluster, "status").to_owned(),
        number(cluster, "runningTasksCount").to_string(),
        number(cluster, "pendingTasksCount").to_string(),
        number(cluster, "activeServicesCount").to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_a_row() {
        let cluster =
            json!({"clusterName": "default", "status": "ACTIVE", "runningTasksCount": 2, "activeServicesCount": 1});
        assert_eq!(row(&cluster), ["default", "ACTIVE", "2", "0", "1"]);
    }
}
