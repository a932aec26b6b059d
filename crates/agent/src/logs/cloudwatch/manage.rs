//! Groups are made and removed, told how long to keep logs, and tagged; streams of tasks that have ended are removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;

use api::logs::answer::{Empty, Tags};
use api::logs::error::{ErrorKind, LogsError};
use api::logs::request::{
    CreateLogGroup, GroupName, ListTagsForResource, PutRetentionPolicy, StreamName, TagLogGroup, TagResource,
    UntagLogGroup, UntagResource,
};
use api::logs::{RETENTION_DAYS, arn};

use super::describe::check_class;
use super::{Parts, unavailable};
use crate::clock;
use crate::logs::catalogue::key;
use crate::logs::groups::Group;
use crate::logs::segment::Origin;
use crate::logs::store::GROUP;

/// The most tags of a group.
const TAGS_MAX: usize = 50;

/// The most bytes of a tag's key.
const TAG_KEY_LEN_MAX: usize = 128;

/// The most bytes of a tag's value.
const TAG_VALUE_LEN_MAX: usize = 256;

/// The most groups that were made by name.
const GROUPS_MAX: usize = 10_000;

impl Parts {
    pub fn create_log_group(&self, request: CreateLogGroup) -> Result<Empty, LogsError> {
        let name = arn::checked_group(&request.log_group_name)?;
        check_class(request.log_group_class.as_deref())?;
        let tags = request.tags.unwrap_or_default();
        check_tags(&tags)?;
        let is_used = name == GROUP || self.groups()?.get(&name).is_some_and(|streams| !streams.is_empty());
        let made = self.logs.groups().change(|groups| {
            if is_used || groups.contains_key(&name) {
                return Err(LogsError::new(
                    ErrorKind::ResourceAlreadyExists,
                    "The specified log group already exists",
                ));
            }
            if groups.len() >= GROUPS_MAX {
                return Err(LogsError::invalid(format!(
                    "there are {GROUPS_MAX} log groups, and no more can be made"
                )));
            }
            let group = Group {
                created_ms: clock::wall_ms(),
                retention_days: None,
                tags,
            };
            groups.insert(name, group);
            Ok(Empty {})
        });
        made.map_err(|error| unavailable(&error))?
    }

    pub fn delete_log_group(&self, request: GroupName) -> Result<Empty, LogsError> {
        let name = arn::checked_group(&request.log_group_name)?;
        let streams = self.streams(&name)?;
        for origin in streams.values() {
            self.check_over(origin)?;
        }
        for origin in streams.values() {
            self.remove(origin)?;
        }
        let removed = self.logs.groups().change(|groups| groups.remove(&name));
        removed.map_err(|error| unavailable(&error))?;
        Ok(Empty {})
    }

    pub fn put_retention_policy(&self, request: PutRetentionPolicy) -> Result<Empty, LogsError> {
        let days = request.retention_in_days;
        if !RETENTION_DAYS.contains(&days) {
            return Err(LogsError::invalid(format!(
                "retentionInDays is {days} and may be one of {RETENTION_DAYS:?}"
            )));
        }
        self.change_group(&request.log_group_name, |group| group.retention_days = Some(days))
    }

    pub fn delete_retention_policy(&self, request: GroupName) -> Result<Empty, LogsError> {
        self.change_group(&request.log_group_name, |group| group.retention_days = None)
    }

    pub fn create_log_stream(&self, request: StreamName) -> Result<Empty, LogsError> {
        let (group, stream) = (request.log_group_name, request.log_stream_name);
        arn::check_stream(&stream)?;
        if self.streams(&arn::checked_group(&group)?)?.contains_key(&stream) {
            return Err(LogsError::new(
                ErrorKind::ResourceAlreadyExists,
                "The specified log stream already exists",
            ));
        }
        Err(LogsError::invalid(
            "CreateLogStream is not supported: on this host only the containers of tasks write logs, and make their streams",
        ))
    }

    pub fn delete_log_stream(&self, request: StreamName) -> Result<Empty, LogsError> {
        let streams = self.streams(&arn::checked_group(&request.log_group_name)?)?;
        let origin = streams.get(&request.log_stream_name);
        let origin = origin.ok_or_else(LogsError::stream_not_found)?;
        self.check_over(origin)?;
        self.remove(origin)?;
        Ok(Empty {})
    }

    pub fn tag_resource(&self, request: TagResource) -> Result<Empty, LogsError> {
        self.tag(&arn::parse(&request.resource_arn)?, request.tags)
    }

    pub fn tag_log_group(&self, request: TagLogGroup) -> Result<Empty, LogsError> {
        self.tag(&request.log_group_name, request.tags)
    }

    pub fn untag_resource(&self, request: UntagResource) -> Result<Empty, LogsError> {
        self.untag(&arn::parse(&request.resource_arn)?, &request.tag_keys)
    }

    pub fn untag_log_group(&self, request: UntagLogGroup) -> Result<Empty, LogsError> {
        self.untag(&request.log_group_name, &request.tags)
    }

    pub fn list_tags_for_resource(&self, request: ListTagsForResource) -> Result<Tags, LogsError> {
        self.tags(&arn::parse(&request.resource_arn)?)
    }

    pub fn list_tags_log_group(&self, request: GroupName) -> Result<Tags, LogsError> {
        self.tags(&request.log_group_name)
    }

    fn tag(&self, group: &str, tags: BTreeMap<String, String>) -> Result<Empty, LogsError> {
        check_tags(&tags)?;
        self.require(group)?;
        let tagged = self.logs.groups().change(|groups| {
            let mut all = groups.get(group).cloned().unwrap_or_else(made_now);
            all.tags.extend(tags);
            check_tags(&all.tags)?;
            groups.insert(group.to_owned(), all);
            Ok(Empty {})
        });
        tagged.map_err(|error| unavailable(&error))?
    }

    fn untag(&self, group: &str, keys: &[String]) -> Result<Empty, LogsError> {
        self.change_group(group, |group| group.tags.retain(|key, _| !keys.contains(key)))
    }

    fn tags(&self, group: &str) -> Result<Tags, LogsError> {
        self.require(group)?;
        let mut known = self.logs.groups().all().map_err(|error| unavailable(&error))?;
        let tags = known.remove(group).unwrap_or_default().tags;
        Ok(Tags { tags })
    }

    /// Changes what is known of a group that there is.
    fn change_group(&self, name: &str, change: impl FnOnce(&mut Group)) -> Result<Empty, LogsError> {
        self.require(name)?;
        let changed = self.logs.groups().change(|groups| {
            change(groups.entry(name.to_owned()).or_insert_with(made_now));
        });
        changed.map_err(|error| unavailable(&error))?;
        Ok(Empty {})
    }

    fn require(&self, group: &str) -> Result<(), LogsError> {
        self.streams(&arn::checked_group(group)?).map(|_| ())
    }

    /// Refuses to touch what is being written.
    fn check_over(&self, origin: &Arc<Origin>) -> Result<(), LogsError> {
        if !self.logs.is_open(&key(origin)) {
            return Ok(());
        }
        Err(LogsError::new(
            ErrorKind::OperationAborted,
            format!("the log stream {} is being written; stop the task first", origin.stream),
        ))
    }

    fn remove(&self, origin: &Origin) -> Result<(), LogsError> {
        match fs::remove_dir_all(self.logs.directory(&key(origin))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unavailable(&error)),
            _ => {
                self.catalogue.forget(&origin.task);
                Ok(())
            }
        }
    }
}

/// What is known of a group that tasks have made.
fn made_now() -> Group {
    Group {
        created_ms: clock::wall_ms(),
        ..Group::default()
    }
}

/// Whether a group can have these tags.
fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), LogsError> {
    if tags.len() > TAGS_MAX {
        return Err(LogsError::new(
            ErrorKind::TooManyTags,
            format!("a log group can have {TAGS_MAX} tags"),
        ));
    }
    let is_long = |(key, value): &(&String, &String)| {
        key.is_empty() || key.len() > TAG_KEY_LEN_MAX || value.len() > TAG_VALUE_LEN_MAX
    };
    match tags.iter().find(is_long) {
        None => Ok(()),
        Some(_) => Err(LogsError::invalid(format!(
            "a tag's key has 1 to {TAG_KEY_LEN_MAX} bytes, its value up to {TAG_VALUE_LEN_MAX}"
        ))),
    }
}
