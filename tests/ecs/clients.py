"""The real clients of Amazon ECS against a host agent: `clients.py ENDPOINT`, with a key in AWS's variables of the environment.

Every answer is checked against Amazon's own model: members that it does not know or that have another type fail. The definition `web` is registered
here; its tasks need not run.
"""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import boto3
import botocore.config
import botocore.exceptions

import checked

ENDPOINT = sys.argv[1]
REGION = "eu-central-1"


def client(service, **keys):
    return checked.client(service, ENDPOINT, REGION, **keys)


ecs = client("ecs")

CONTAINER = {
    "name": "app",
    "image": "nginx:1",
    "portMappings": [{"containerPort": 80}],
    "healthCheck": {"command": ["CMD-SHELL", "true"]},
    "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/web", "awslogs-stream-prefix": "p"}},
}


def refused(name, call, **arguments):
    """Checks that boto3 raises the exception of this name; its message."""
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == name, error
        known = call.__self__.exceptions
        if name in dir(known):
            assert isinstance(error, getattr(known, name)), type(error)
        return error.response["Error"]["Message"]
    raise AssertionError(f"{name} was due")


def clusters():
    ecs.create_cluster(clusterName="dev", tags=[{"key": "k", "value": "v"}])
    described = ecs.describe_clusters(clusters=["dev", "none"], include=["TAGS", "STATISTICS", "SETTINGS", "CONFIGURATIONS"])
    assert [cluster["clusterName"] for cluster in described["clusters"]] == ["dev"]
    assert described["failures"][0]["reason"] == "MISSING"
    assert len(checked.paged(ecs, "list_clusters", "clusterArns")) == 2
    ecs.update_cluster_settings(cluster="dev", settings=[{"name": "containerInsights", "value": "enabled"}])
    ecs.update_cluster(cluster="dev", settings=[{"name": "containerInsights", "value": "disabled"}])
    ecs.put_cluster_capacity_providers(cluster="dev", capacityProviders=["FARGATE"], defaultCapacityProviderStrategy=[])
    ecs.describe_capacity_providers(capacityProviders=["FARGATE", "other"])
    providers = checked.by_token(ecs.describe_capacity_providers, "capacityProviders")
    assert {provider["name"] for provider in providers} == {"FARGATE", "FARGATE_SPOT"}, providers
    ecs.delete_cluster(cluster="dev")
    refused("ClusterNotFoundException", ecs.list_tasks, cluster="dev")


def definitions():
    for _ in range(3):
        registered = ecs.register_task_definition(
            family="web", cpu=".25 vCPU", memory="0.5 GB", networkMode="awsvpc", requiresCompatibilities=["FARGATE"],
            containerDefinitions=[CONTAINER], tags=[{"key": "from", "value": "definition"}],
        )
    definition = registered["taskDefinition"]
    assert (definition["cpu"], definition["memory"], definition["revision"]) == ("256", "512", 3)
    assert definition["taskDefinitionArn"] == f"arn:aws:ecs:{REGION}:000000000000:task-definition/web:3"
    described = ecs.describe_task_definition(taskDefinition="web", include=["TAGS"])
    assert described["tags"] == [{"key": "from", "value": "definition"}]
    arns = checked.paged(ecs, "list_task_definitions", "taskDefinitionArns", 2, familyPrefix="web", sort="DESC")
    assert [arn.rsplit(":", 1)[1] for arn in arns] == ["3", "2", "1"]
    ecs.register_task_definition(family="other", containerDefinitions=[dict(CONTAINER, memory=64)])
    assert checked.paged(ecs, "list_task_definition_families", "families") == ["other", "web"]
    ecs.deregister_task_definition(taskDefinition="web:1")
    ecs.delete_task_definitions(taskDefinitions=["web:1", "web:2"])
    refused("ClientException", ecs.describe_task_definition, taskDefinition="web:1")
    accelerated = dict(CONTAINER, resourceRequirements=[{"type": "GPU", "value": "1"}])
    message = refused("InvalidParameterException", ecs.register_task_definition, family="web", containerDefinitions=[accelerated])
    assert "containerDefinitions[0].resourceRequirements" in message, message


def tasks():
    token = str(uuid.uuid4())
    run = dict(
        taskDefinition="web", count=3, launchType="FARGATE", startedBy="me", propagateTags="TASK_DEFINITION", clientToken=token,
        networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "ENABLED"}},
        overrides={"containerOverrides": [{"name": "app", "command": ["echo", "hi"]}], "cpu": "512"},
        tags=[{"key": "own", "value": "1"}], enableExecuteCommand=True,
    )
    arns = [task["taskArn"] for task in ecs.run_task(**run)["tasks"]]
    assert [task["taskArn"] for task in ecs.run_task(**run)["tasks"]] == arns
    refused("ConflictException", ecs.run_task, **dict(run, count=1))
    assert sorted(checked.paged(ecs, "list_tasks", "taskArns", 2, family="web")) == sorted(arns)
    described = ecs.describe_tasks(tasks=arns[:2] + ["0" * 32], include=["TAGS"])
    assert [task["cpu"] for task in described["tasks"]] == ["512", "512"]
    assert {tag["key"] for tag in described["tasks"][0]["tags"]} == {"own", "from"}
    assert len(described["failures"]) == 1
    ecs.tag_resource(resourceArn=arns[0], tags=[{"key": "later", "value": "2"}])
    ecs.untag_resource(resourceArn=arns[0], tagKeys=["own"])
    assert {tag["key"] for tag in ecs.list_tags_for_resource(resourceArn=arns[0])["tags"]} == {"later", "from"}
    ecs.get_task_protection(cluster="default", tasks=arns[:1])
    ecs.update_task_protection(cluster="default", tasks=arns[:1], protectionEnabled=False)
    for arn in arns:
        ecs.stop_task(task=arn, reason="enough")
    ecs.get_waiter("tasks_stopped").wait(tasks=arns)
    stopped = ecs.describe_tasks(tasks=arns)["tasks"][0]
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "enough")
    refused("InvalidParameterException", ecs.stop_task, task="x")
    refused("InvalidParameterException", ecs.list_tasks, nextToken="x")


def the_rest():
    ecs.put_account_setting(name="containerInsights", value="enabled")
    assert ecs.list_account_settings(name="containerInsights")["settings"][0]["value"] == "enabled"
    ecs.put_account_setting_default(name="taskLongArnFormat", value="enabled")
    assert len(checked.paged(ecs, "list_account_settings", "settings", 2, effectiveSettings=True)) == 11
    ecs.delete_account_setting(name="containerInsights")
    refused("UnsupportedFeatureException", ecs.list_container_instances)


def log_groups():
    logs = client("logs")
    for group in ["/a", "/b"]:
        logs.create_log_group(logGroupName=group, tags={"k": "v"})
    groups = checked.paged(logs, "describe_log_groups", "logGroups")
    assert [group["logGroupName"] for group in groups] == ["/a", "/b", "/mote"], groups
    refused("InvalidParameterException", logs.create_log_stream, logGroupName="/a", logStreamName="one")
    refused("ResourceNotFoundException", logs.get_log_events, logGroupName="/a", logStreamName="one")
    assert logs.describe_log_streams(logGroupName="/a")["logStreams"] == []
    logs.put_retention_policy(logGroupName="/a", retentionInDays=7)
    assert logs.describe_log_groups(logGroupNamePrefix="/a")["logGroups"][0]["retentionInDays"] == 7
    logs.delete_retention_policy(logGroupName="/a")
    arn = groups[0]["arn"].removesuffix(":*")
    logs.tag_resource(resourceArn=arn, tags={"later": "1"})
    logs.untag_resource(resourceArn=arn, tagKeys=["k"])
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"later": "1"}
    logs.tag_log_group(logGroupName="/a", tags={"old": "2"})
    logs.untag_log_group(logGroupName="/a", tags=["later"])
    assert logs.list_tags_log_group(logGroupName="/a")["tags"] == {"old": "2"}
    assert logs.filter_log_events(logGroupName="/a")["events"] == []
    for group in ["/a", "/b"]:
        logs.delete_log_group(logGroupName=group)


def strangers():
    wrong = client("ecs", aws_access_key_id="AKIAAAAAAAAAAAAAAAAA", aws_secret_access_key="x")
    refused("UnrecognizedClientException", wrong.list_clusters)
    wrong = client("ecs", aws_access_key_id=boto3.Session().get_credentials().access_key, aws_secret_access_key="x")
    refused("InvalidSignatureException", wrong.list_clusters)
    unsigned = botocore.config.Config(signature_version=botocore.UNSIGNED, region_name=REGION, retries={"total_max_attempts": 1})
    refused("MissingAuthenticationTokenException", boto3.client("ecs", endpoint_url=ENDPOINT, config=unsigned).list_clusters)


def command_line():
    program = Path(sys.executable).with_name("aws")
    command = [program, "--endpoint-url", ENDPOINT, "--region", REGION, "--output", "json", "ecs"]
    run = subprocess.run([*command, "run-task", "--task-definition", "web", "--launch-type", "FARGATE"], check=True, capture_output=True, text=True)
    arn = json.loads(run.stdout)["tasks"][0]["taskArn"]
    subprocess.run([*command, "wait", "tasks-running", "--tasks", arn], check=True)
    subprocess.run([*command, "stop-task", "--task", arn], check=True, capture_output=True)
    subprocess.run([*command, "wait", "tasks-stopped", "--tasks", arn], check=True)
    missing = subprocess.run([*command, "stop-task", "--task", "x"], check=False, capture_output=True, text=True)
    assert missing.returncode != 0 and "The referenced task was not found." in missing.stderr, missing


def unsupported():
    """What mote has no answer to is refused as such; of all else, an answer was checked."""
    answered = {operation for service, operation in checked.CHECKED if service == "ecs"}
    elsewhere = checked.OPERATIONS_OF_SERVICES | {"ExecuteCommand"}
    names = {ecs.meta.method_to_api_mapping[method]: method for method in ecs.meta.method_to_api_mapping}
    blind = client("ecs", parameter_validation=False)
    for operation in sorted(set(names) - answered - elsewhere):
        refused("UnsupportedFeatureException", getattr(blind, names[operation]))


for check in [clusters, definitions, tasks, the_rest, log_groups, strangers, command_line, unsupported]:
    check()
