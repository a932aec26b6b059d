//! What the documents of several operations share.

use serde::{Deserialize, Serialize};

/// A point in time, in seconds since the Unix epoch, with a fraction.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub f64);

impl Timestamp {
    /// The point `unix_ms` milliseconds after the epoch.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 fit an f64's 53 bits for 285,000 years"
    )]
    pub fn from_unix_ms(unix_ms: u64) -> Self {
        Self(unix_ms as f64 / 1000.0)
    }

    /// Milliseconds since the epoch; 0 for what lies before it.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "conversions of floats saturate"
    )]
    pub fn unix_ms(self) -> u64 {
        (self.0 * 1000.0).round() as u64
    }
}

/// A tag of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value; empty where a request has none.
    pub value: String,
}

/// A name and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NameValue {
    /// The name.
    pub name: Option<String>,
    /// The value.
    pub value: Option<String>,
}

impl NameValue {
    /// `name` with `value`.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            value: Some(value.into()),
        }
    }
}

/// What an operation on several resources could not do for one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Failure {
    /// The resource.
    pub arn: Option<String>,
    /// Why not, in a word: `MISSING`, `RESOURCE:MEMORY`.
    pub reason: Option<String>,
    /// Why not, in a sentence.
    pub detail: Option<String>,
}

impl Failure {
    /// The reason of a resource that is not there.
    pub const MISSING: &'static str = "MISSING";

    /// There is no resource `arn`.
    pub fn missing(arn: impl Into<String>) -> Self {
        Self {
            arn: Some(arn.into()),
            reason: Some(Self::MISSING.to_owned()),
            detail: None,
        }
    }
}

/// Where tasks get their network from: told again, since one host has one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkConfiguration {
    /// The only kind there is.
    pub awsvpc_configuration: Option<AwsVpcConfiguration>,
}

/// Subnets and security groups: told again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AwsVpcConfiguration {
    /// Told again.
    pub subnets: Vec<String>,
    /// Told again.
    pub security_groups: Option<Vec<String>>,
    /// Told again.
    pub assign_public_ip: Option<String>,
}

/// A capacity provider's share of tasks: told again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CapacityProviderStrategyItem {
    /// `FARGATE` or `FARGATE_SPOT`.
    pub capacity_provider: String,
    /// Told again.
    pub weight: i64,
    /// Told again.
    pub base: i64,
}

/// An attachment of a task: its network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Attachment {
    /// A UUID.
    pub id: String,
    /// `ElasticNetworkInterface`.
    pub r#type: String,
    /// `ATTACHED`, `DELETED` and so on.
    pub status: String,
    /// What is known of it.
    pub details: Vec<NameValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_a_fraction() {
        let time = Timestamp::from_unix_ms(1_795_000_000_123);
        assert_eq!(serde_json::to_string(&time).unwrap(), "1795000000.123");
        assert_eq!(time.unix_ms(), 1_795_000_000_123);
    }
}
