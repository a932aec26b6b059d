//! Requests about tags.

use super::Kind::Text;
use super::Member;
use super::shapes::{TAGS, TEXTS};

const RESOURCE: Member = Member::required("resourceArn", Text);

pub const TAG: &[Member] = &[RESOURCE, Member::required("tags", TAGS)];

pub const UNTAG: &[Member] = &[RESOURCE, Member::required("tagKeys", TEXTS)];

pub const LIST: &[Member] = &[RESOURCE];
