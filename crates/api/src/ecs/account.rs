//! Settings of the account.

use serde::{Deserialize, Serialize};

/// The request of `ListAccountSettings`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListAccountSettingsRequest {
    /// Only this setting.
    pub name: Option<String>,
    /// Only where it has this value; needs `name`.
    pub value: Option<String>,
    /// Told again: there is one account and no user.
    pub principal_arn: Option<String>,
    /// Whether settings that were never changed are told, too.
    pub effective_settings: Option<bool>,
    /// The most settings of one page.
    pub max_results: Option<i64>,
    /// Where the list goes on.
    pub next_token: Option<String>,
}

/// The request of `PutAccountSetting` and `PutAccountSettingDefault`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PutAccountSettingRequest {
    /// The setting.
    pub name: String,
    /// Its value: told again.
    pub value: String,
    /// Told again.
    pub principal_arn: Option<String>,
}

/// The request of `DeleteAccountSetting`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeleteAccountSettingRequest {
    /// The setting.
    pub name: String,
    /// Told again.
    pub principal_arn: Option<String>,
}

/// A setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whose.
    pub principal_arn: String,
    /// `user` or `aws_managed`.
    pub r#type: String,
}

/// The answer of the operations on one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettingAnswer {
    /// The setting as it is now.
    pub setting: Setting,
}

/// The answer of `ListAccountSettings`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListAccountSettingsAnswer {
    /// By name.
    pub settings: Vec<Setting>,
    /// Where the list goes on, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
