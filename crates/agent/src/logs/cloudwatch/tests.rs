//! The calls, as clients make them.

use serde_json::{Value, json};

use super::CloudWatch;
use crate::logs::entry::Source;
use crate::logs::segment::Origin;
use crate::logs::store::{FileSink, Key, Logs};
use crate::logs::writer::{Limits, Output, Writer};
use crate::record::Logging;

struct Fixture {
    _directory: tempfile::TempDir,
    logs: Logs,
    calls: CloudWatch,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let logs = Logs::new(directory.path().to_owned(), 1 << 20);
    let calls = CloudWatch::new(logs.clone(), "us-east-1".to_owned());
    Fixture {
        _directory: directory,
        logs,
        calls,
    }
}

impl Fixture {
    /// Writes lines of a container that has ended, each at its time.
    fn write(&self, task: &str, lines: &[(u64, &str)]) {
        let directory = self.logs.root().join(task).join("web");
        let origin = Origin {
            task: task.to_owned(),
            container: "web".to_owned(),
            group: "/g".to_owned(),
            stream: format!("ecs/web/{task}"),
            created_ms: 5,
        };
        let limits = Limits {
            file_bytes_max: 1000,
            files_max: 1000,
        };
        let mut writer = Writer::open(directory, origin, limits).unwrap();
        let mut offset = 0;
        for (time_ms, line) in lines {
            let output = Output {
                process: 1,
                source: Source::Stdout,
                offset,
                content: line.as_bytes(),
            };
            writer.write(*time_ms, output).unwrap();
            offset += line.len() as u64;
        }
    }

    /// Opens the log of a container that runs.
    fn open(&self, task: &str) -> FileSink {
        let key = Key {
            task: task.to_owned(),
            container: "web".to_owned(),
        };
        let logging = Logging {
            group: Some("/g".to_owned()),
            stream_prefix: Some("ecs".to_owned()),
        };
        self.logs.open_sink(key, &logging).unwrap()
    }

    async fn call(&self, operation: &str, request: Value) -> Value {
        let (status, answer) = self.calls.answer(operation, request.to_string().as_bytes()).await;
        assert_eq!(status, 200, "{operation} {request}: {answer}");
        answer
    }

    /// The type of the refusal.
    async fn refusal(&self, operation: &str, request: Value) -> String {
        let (status, answer) = self.calls.answer(operation, request.to_string().as_bytes()).await;
        assert_eq!(status, 400, "{operation} {request}: {answer}");
        answer["__type"].as_str().unwrap().to_owned()
    }
}

fn messages(answer: &Value) -> Vec<&str> {
    let events = answer["events"].as_array().unwrap().iter();
    events.map(|event| event["message"].as_str().unwrap()).collect()
}

fn names<'a>(answer: &'a Value, list: &str, name: &str) -> Vec<&'a str> {
    let items = answer[list].as_array().unwrap().iter();
    items.map(|item| item[name].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_stream_is_read_forwards_to_its_end_where_the_token_stays() {
    let fixture = fixture();
    let lines: Vec<(u64, String)> = (0..100).map(|number| (number, format!("line {number}\n\n"))).collect();
    let lines: Vec<(u64, &str)> = lines.iter().map(|(time, line)| (*time, line.as_str())).collect();
    fixture.write("t1", &lines);
    let mut request = json!({"logGroupName": "/g", "logStreamName": "ecs/web/t1", "startFromHead": true, "limit": 30});
    let mut read = vec![];
    loop {
        let answer = fixture.call("GetLogEvents", request.clone()).await;
        read.extend(messages(&answer).iter().map(|message| (*message).to_owned()));
        if request["nextToken"] == answer["nextForwardToken"] {
            assert!(messages(&answer).is_empty());
            break;
        }
        request["nextToken"] = answer["nextForwardToken"].clone();
    }
    let all: Vec<String> = (0..100).map(|number| format!("line {number}")).collect();
    assert_eq!(read, all);
    let range = json!({"logGroupIdentifier": "arn:aws:logs:us-east-1:000000000000:log-group:/g:*", "logStreamName": "ecs/web/t1",
        "startTime": 50, "endTime": 53, "startFromHead": true});
    assert_eq!(
        messages(&fixture.call("GetLogEvents", range).await),
        ["line 50", "line 51", "line 52"]
    );
}

#[tokio::test]
async fn a_stream_is_read_backwards_from_its_end() {
    let fixture = fixture();
    let lines: Vec<(u64, String)> = (0..100).map(|number| (number, format!("line {number}\n"))).collect();
    let lines: Vec<(u64, &str)> = lines.iter().map(|(time, line)| (*time, line.as_str())).collect();
    fixture.write("t1", &lines);
    let stream = json!({"logGroupName": "/g", "logStreamName": "ecs/web/t1", "limit": 40});
    let last = fixture.call("GetLogEvents", stream.clone()).await;
    assert_eq!(messages(&last)[0], "line 60");
    assert_eq!(messages(&last).len(), 40);
    let with = |token: &Value| {
        let mut request = stream.clone();
        request["nextToken"] = token.clone();
        request
    };
    let before = fixture.call("GetLogEvents", with(&last["nextBackwardToken"])).await;
    assert_eq!(messages(&before)[0], "line 20");
    let again = fixture.call("GetLogEvents", with(&before["nextForwardToken"])).await;
    assert_eq!(messages(&again), messages(&last));
    let first = fixture.call("GetLogEvents", with(&before["nextBackwardToken"])).await;
    assert_eq!(messages(&first).len(), 20);
    let none = fixture.call("GetLogEvents", with(&first["nextBackwardToken"])).await;
    assert!(messages(&none).is_empty());
    assert_eq!(none["nextBackwardToken"], first["nextBackwardToken"]);
    let mut early = stream.clone();
    early["endTime"] = json!(10);
    assert_eq!(messages(&fixture.call("GetLogEvents", early).await).len(), 10);
}

#[tokio::test]
async fn streams_are_mixed_by_time_page_by_page() {
    let fixture = fixture();
    fixture.write("t1", &[(10, "a\n"), (30, "c ERROR\nd\n"), (50, "f\n")]);
    fixture.write("t2", &[(20, "b ERROR\n"), (30, "e\n"), (60, "last")]);
    let mut request = json!({"logGroupName": "/g", "interleaved": true, "limit": 2});
    let mut read = vec![];
    let mut ids = vec![];
    loop {
        let answer = fixture.call("FilterLogEvents", request.clone()).await;
        read.extend(messages(&answer).iter().map(|message| (*message).to_owned()));
        ids.extend(names(&answer, "events", "eventId").iter().map(|id| (*id).to_owned()));
        let Some(token) = answer.get("nextToken") else { break };
        request["nextToken"] = token.clone();
    }
    assert_eq!(read[..2], ["a", "b ERROR"]);
    assert_eq!(read[5..], ["f", "last"]);
    assert_eq!(read.len(), 7);
    assert!(ids.is_sorted_by(|one, other| one < other));
    let found = |request| fixture.call("FilterLogEvents", request);
    let answer = found(json!({"logGroupName": "/g", "filterPattern": "ERROR", "startTime": 21})).await;
    assert_eq!(messages(&answer), ["c ERROR"]);
    let answer = found(json!({"logGroupName": "/g", "logStreamNamePrefix": "ecs/web/t2", "endTime": 30})).await;
    assert_eq!(messages(&answer), ["b ERROR", "e"]);
    let answer = found(json!({"logGroupName": "/g", "logStreamNames": ["ecs/web/t1"], "startTime": 50})).await;
    assert_eq!(messages(&answer), ["f"]);
    assert_eq!(answer["events"][0]["logStreamName"], "ecs/web/t1");
}

#[tokio::test]
async fn groups_and_streams_are_described() {
    let fixture = fixture();
    for task in ["t1", "t2", "t3"] {
        fixture.write(task, &[(10, "a\n"), (20, "b\n")]);
    }
    let _open = fixture.open("t4");
    let groups = fixture.call("DescribeLogGroups", json!({})).await;
    assert_eq!(names(&groups, "logGroups", "logGroupName"), ["/g", "/mote"]);
    assert_eq!(
        groups["logGroups"][0]["arn"],
        "arn:aws:logs:us-east-1:000000000000:log-group:/g:*"
    );
    let page = json!({"logGroupName": "/g", "limit": 3});
    let streams = fixture.call("DescribeLogStreams", page).await;
    assert_eq!(
        names(&streams, "logStreams", "logStreamName"),
        ["ecs/web/t1", "ecs/web/t2", "ecs/web/t3"]
    );
    assert_eq!(streams["logStreams"][0]["firstEventTimestamp"], 10);
    assert_eq!(streams["logStreams"][0]["lastEventTimestamp"], 20);
    let rest = json!({"logGroupName": "/g", "nextToken": streams["nextToken"]});
    let rest = fixture.call("DescribeLogStreams", rest).await;
    assert_eq!(names(&rest, "logStreams", "logStreamName"), ["ecs/web/t4"]);
    assert_eq!(rest.get("nextToken"), None);
    let by_time = json!({"logGroupName": "/g", "orderBy": "LastEventTime", "descending": true, "limit": 4});
    let by_time = fixture.call("DescribeLogStreams", by_time).await;
    assert_eq!(
        names(&by_time, "logStreams", "logStreamName").last(),
        Some(&"ecs/web/t4")
    );
}

#[tokio::test]
async fn groups_are_made_tagged_and_removed() {
    let fixture = fixture();
    let group = json!({"logGroupName": "/made"});
    fixture
        .call("CreateLogGroup", json!({"logGroupName": "/made", "tags": {"a": "1"}}))
        .await;
    assert_eq!(
        fixture.refusal("CreateLogGroup", group.clone()).await,
        "ResourceAlreadyExistsException"
    );
    let arn = "arn:aws:logs:us-east-1:000000000000:log-group:/made";
    fixture
        .call("TagResource", json!({"resourceArn": arn, "tags": {"b": "2"}}))
        .await;
    fixture
        .call("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a"]}))
        .await;
    let tags = fixture.call("ListTagsForResource", json!({"resourceArn": arn})).await;
    assert_eq!(tags, json!({"tags": {"b": "2"}}));
    fixture
        .call(
            "PutRetentionPolicy",
            json!({"logGroupName": "/made", "retentionInDays": 7}),
        )
        .await;
    let described = fixture
        .call("DescribeLogGroups", json!({"logGroupNamePrefix": "/made"}))
        .await;
    assert_eq!(described["logGroups"][0]["retentionInDays"], 7);
    fixture.call("DeleteRetentionPolicy", group.clone()).await;
    fixture.call("DeleteLogGroup", group.clone()).await;
    assert_eq!(
        fixture.refusal("DeleteLogGroup", group).await,
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn what_is_written_is_not_removed_and_what_is_over_is() {
    let fixture = fixture();
    fixture.write("t1", &[(10, "a\n")]);
    let open = fixture.open("t2");
    let group = json!({"logGroupName": "/g"});
    assert_eq!(
        fixture.refusal("DeleteLogGroup", group.clone()).await,
        "OperationAbortedException"
    );
    drop(open);
    let stream = json!({"logGroupName": "/g", "logStreamName": "ecs/web/t1"});
    fixture.call("DeleteLogStream", stream.clone()).await;
    assert_eq!(
        fixture.refusal("DeleteLogStream", stream).await,
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn refusals_have_the_services_types() {
    let fixture = fixture();
    fixture.write("t1", &[(10, "a\n")]);
    for (operation, request, kind) in [
        (
            "GetLogEvents",
            json!({"logGroupName": "/x", "logStreamName": "a"}),
            "ResourceNotFoundException",
        ),
        (
            "GetLogEvents",
            json!({"logGroupName": "/g", "logStreamName": "a"}),
            "ResourceNotFoundException",
        ),
        (
            "GetLogEvents",
            json!({"logGroupName": "/g"}),
            "InvalidParameterException",
        ),
        (
            "GetLogEvents",
            json!({"logGroupName": "/g", "logStreamName": "ecs/web/t1", "nextToken": "x"}),
            "InvalidParameterException",
        ),
        (
            "FilterLogEvents",
            json!({"logGroupName": "/g", "filterPattern": "{$.a=1}"}),
            "InvalidParameterException",
        ),
        (
            "FilterLogEvents",
            json!({"logGroupName": "/g", "limit": 10_001}),
            "InvalidParameterException",
        ),
        (
            "FilterLogEvents",
            json!({"logGroupName": "/g", "unmask": true}),
            "InvalidParameterException",
        ),
        ("FilterLogEvents", json!({"logGroupName": 1}), "SerializationException"),
        (
            "DescribeLogGroups",
            json!({"logGroupClass": "DELIVERY"}),
            "InvalidParameterException",
        ),
        (
            "PutRetentionPolicy",
            json!({"logGroupName": "/g", "retentionInDays": 2}),
            "InvalidParameterException",
        ),
        (
            "CreateLogStream",
            json!({"logGroupName": "/g", "logStreamName": "a"}),
            "InvalidParameterException",
        ),
        ("PutLogEvents", json!({}), "InvalidParameterException"),
        ("StartQuery", json!({}), "UnknownOperationException"),
    ] {
        assert_eq!(
            fixture.refusal(operation, request.clone()).await,
            kind,
            "{operation} {request}"
        );
    }
}

#[tokio::test]
async fn logs_go_with_their_task_unless_their_group_keeps_them() {
    let fixture = fixture();
    let now_ms = crate::clock::wall_ms();
    for task in ["known", "gone"] {
        fixture.write(task, &[(now_ms, "a\n")]);
    }
    let is_known = |task: &str| task == "known";
    fixture
        .call(
            "PutRetentionPolicy",
            json!({"logGroupName": "/g", "retentionInDays": 1}),
        )
        .await;
    fixture.logs.sweep(now_ms, &is_known).unwrap();
    assert!(fixture.logs.root().join("gone").exists());
    fixture
        .call("DeleteRetentionPolicy", json!({"logGroupName": "/g"}))
        .await;
    fixture.logs.sweep(now_ms, &is_known).unwrap();
    assert!(!fixture.logs.root().join("gone").exists());
    assert!(fixture.logs.root().join("known").exists());
    fixture
        .call(
            "PutRetentionPolicy",
            json!({"logGroupName": "/g", "retentionInDays": 1}),
        )
        .await;
    fixture.logs.sweep(now_ms + 2 * 24 * 60 * 60 * 1000, &is_known).unwrap();
    assert!(!fixture.logs.root().join("known").exists());
}
