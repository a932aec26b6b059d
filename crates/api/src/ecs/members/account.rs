//! Requests about the account's settings.

use super::Kind::{Boolean, Choice, Integer, Text};
use super::{Kind, Member};

const ONE_ACCOUNT: &str = "there is one account, and its settings change nothing on one host";

const NAMES: Kind = Choice(&[
    "serviceLongArnFormat",
    "taskLongArnFormat",
    "containerInstanceLongArnFormat",
    "awsvpcTrunking",
    "containerInsights",
    "fargateFIPSMode",
    "tagResourceAuthorization",
    "fargateTaskRetirementWaitPeriod",
    "guardDutyActivate",
    "defaultLogDriverMode",
    "fargateEventWindows",
]);

const PRINCIPAL: Member = Member::echoed("principalArn", Text, ONE_ACCOUNT);

pub const LIST: &[Member] = &[
    Member::honoured("name", NAMES),
    Member::honoured("value", Text),
    PRINCIPAL,
    Member::honoured("effectiveSettings", Boolean),
    Member::honoured("nextToken", Text),
    Member::honoured("maxResults", Integer),
];

const NAME: Member = Member::required("name", NAMES);

const VALUE: Member = Member {
    is_required: true,
    ..Member::echoed("value", Text, ONE_ACCOUNT)
};

pub const PUT: &[Member] = &[NAME, VALUE, PRINCIPAL];

pub const PUT_DEFAULT: &[Member] = &[NAME, VALUE];

pub const DELETE: &[Member] = &[NAME, PRINCIPAL];
