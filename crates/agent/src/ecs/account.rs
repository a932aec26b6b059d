//! Settings of the account: told as they are set. On one host they change nothing.

use api::ecs::account::{
    DeleteAccountSettingRequest, ListAccountSettingsAnswer, ListAccountSettingsRequest, PutAccountSettingRequest,
    Setting, SettingAnswer,
};
use api::ecs::arn::ACCOUNT;
use api::ecs::error::EcsError;
use api::ecs::page;

use super::{Ecs, failed};

/// The list of settings, in tokens of its pages.
const LIST: &str = "account settings";

/// The settings of one page, where a request does not say.
const PAGE_LEN: usize = 10;

/// The settings, with the values that they have where nobody set them.
const DEFAULTS: [(&str, &str); 11] = [
    ("awsvpcTrunking", "disabled"),
    ("containerInsights", "disabled"),
    ("containerInstanceLongArnFormat", "enabled"),
    ("defaultLogDriverMode", "non-blocking"),
    ("fargateEventWindows", "disabled"),
    ("fargateFIPSMode", "disabled"),
    ("fargateTaskRetirementWaitPeriod", "7"),
    ("guardDutyActivate", "off"),
    ("serviceLongArnFormat", "enabled"),
    ("tagResourceAuthorization", "off"),
    ("taskLongArnFormat", "enabled"),
];

/// The settings that are as they are, whoever asks.
const FIXED: [&str; 3] = [
    "containerInstanceLongArnFormat",
    "serviceLongArnFormat",
    "taskLongArnFormat",
];

/// The longest value of a setting.
const VALUE_LEN_MAX: usize = 64;

impl Ecs {
    pub(super) fn list_account_settings(
        &self,
        request: &ListAccountSettingsRequest,
    ) -> Result<ListAccountSettingsAnswer, EcsError> {
        let size = page::size(request.max_results, PAGE_LEN)?;
        let behind = page::behind(LIST, request.next_token.as_deref())?.unwrap_or_default();
        if request.value.is_some() && request.name.is_none() {
            return Err(EcsError::invalid("value needs a name: the setting that is to have it."));
        }
        let set = self.store.account_settings().map_err(failed)?;
        let own = |name: &str| {
            set.iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        let is_told = |name: &str| own(name).is_some() || request.effective_settings.unwrap_or(false);
        let settings = DEFAULTS.iter().filter(|(name, _)| is_told(name));
        let settings = settings.filter(|(name, _)| request.name.as_deref().is_none_or(|wanted| wanted == *name));
        let settings = settings.map(|(name, default)| setting(name, own(name).unwrap_or(default)));
        let settings = settings.filter(|setting| request.value.as_ref().is_none_or(|value| setting.value == *value));
        let settings = settings.skip_while(|setting| setting.name <= behind);
        let (settings, next_token) = page::cut(LIST, settings, size, |setting| setting.name.clone());
        Ok(ListAccountSettingsAnswer { settings, next_token })
    }

    pub(super) fn put_account_setting(&self, request: &PutAccountSettingRequest) -> Result<SettingAnswer, EcsError> {
        let (name, value) = (request.name.as_str(), request.value.as_str());
        if FIXED.contains(&name) && value != "enabled" {
            return Err(EcsError::invalid(format!(
                "{name} can be only enabled here: all ARNs are long ones."
            )));
        }
        if value.is_empty() || value.len() > VALUE_LEN_MAX {
            return Err(EcsError::invalid(format!(
                "The value of {name} has to have 1 to {VALUE_LEN_MAX} characters."
            )));
        }
        self.store.set_account_setting(name, Some(value)).map_err(failed)?;
        Ok(SettingAnswer {
            setting: setting(name, value),
        })
    }

    pub(super) fn delete_account_setting(
        &self,
        request: &DeleteAccountSettingRequest,
    ) -> Result<SettingAnswer, EcsError> {
        self.store.set_account_setting(&request.name, None).map_err(failed)?;
        let default = DEFAULTS
            .iter()
            .find(|(name, _)| *name == request.name)
            .map_or("", |(_, value)| value);
        Ok(SettingAnswer {
            setting: setting(&request.name, default),
        })
    }
}

fn setting(name: &str, value: &str) -> Setting {
    Setting {
        name: name.to_owned(),
        value: value.to_owned(),
        principal_arn: format!("arn:aws:iam::{ACCOUNT}:root"),
        r#type: "user".to_owned(),
    }
}
