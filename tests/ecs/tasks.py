"""Tasks that really run, as the clients of Amazon ECS see them: `tasks.py ENDPOINT IMAGE RUNTIME`, with a key in AWS's variables of the environment.

RUNTIME is the host agent's runtime directory, after which the cgroups of its microVMs are named.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import botocore.exceptions
import checked

ENDPOINT, IMAGE, RUNTIME = sys.argv[1:]
REGION = "us-east-1"
ecs = checked.client("ecs", ENDPOINT, REGION)
logs = checked.client("logs", ENDPOINT, REGION)
GROUP = "/e2e"


def container(name, script, **members):
    options = {"awslogs-group": GROUP, "awslogs-stream-prefix": "p"}
    log = {"logDriver": "awslogs", "options": options}
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], "logConfiguration": log, **members}


def run(family, containers, **members):
    ecs.register_task_definition(family=family, cpu="256", memory="64", containerDefinitions=containers)
    ran = ecs.run_task(taskDefinition=family, **members)
    assert not ran["failures"], ran
    return ran["tasks"][0]["taskArn"]


def wait_for(status, arn):
    try:
        ecs.get_waiter(f"tasks_{status}").wait(tasks=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    except botocore.exceptions.WaiterError as error:
        raise AssertionError(described(arn)) from error


def kill_microvms():
    cgroups = Path("/sys/fs/cgroup").glob(f"mote{RUNTIME.replace('/', '-')}/*/cgroup.procs")
    processes = [int(line) for procs in cgroups for line in procs.read_text().split()]
    assert processes
    for process in processes:
        os.kill(process, signal.SIGKILL)


def described(arn):
    return ecs.describe_tasks(tasks=[arn])["tasks"][0]


def wrote(stream):
    try:
        events = logs.get_log_events(logGroupName=GROUP, logStreamName=stream, startFromHead=True)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in events]


def a_task_runs_until_it_is_stopped():
    wait = "trap 'exit 7' TERM; echo hello; while :; do sleep 0.1; done"
    arn = run("stays", [container("app", wait, environment=[{"name": "A", "value": "1"}])])
    wait_for("running", arn)
    task = described(arn)
    assert task["connectivity"] == "CONNECTED" and task["containers"][0]["lastStatus"] == "RUNNING", task
    assert task["createdAt"] <= task["pullStartedAt"] <= task["pullStoppedAt"] <= task["startedAt"], task
    stream = f"p/app/{arn.rsplit('/', 1)[1]}"
    # Before, it does not listen to the signal.
    while wrote(stream) != ["hello"]:
        time.sleep(0.1)
    ecs.stop_task(task=arn, reason="enough")
    wait_for("stopped", arn)
    task = described(arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough"), task
    assert task["containers"][0]["exitCode"] == 7, task
    assert task["startedAt"] <= task["stoppingAt"] <= task["executionStoppedAt"] <= task["stoppedAt"], task
    assert wrote(stream) == ["hello"], wrote(stream)


def a_task_ends_with_its_essential_container():
    first = container("first", "echo done > /shared/x", essential=False, mountPoints=[{"sourceVolume": "v", "containerPath": "/shared"}])
    second = container("second", "cat /shared/x; exit 3", mountPoints=[{"sourceVolume": "v", "containerPath": "/shared"}],
                       dependsOn=[{"containerName": "first", "condition": "SUCCESS"}])
    ecs.register_task_definition(family="ends", cpu="256", memory="64", containerDefinitions=[first, second], volumes=[{"name": "v"}])
    arn = ecs.run_task(taskDefinition="ends")["tasks"][0]["taskArn"]
    wait_for("stopped", arn)
    task = described(arn)
    assert task["stopCode"] == "EssentialContainerExited", task
    assert [entry["exitCode"] for entry in task["containers"]] == [0, 3], task
    found = logs.filter_log_events(logGroupName=GROUP, logStreamNamePrefix="p/second/")["events"]
    assert [event["message"] for event in found] == ["done"], found


def what_has_no_image_fails_to_start():
    arn = run("missing", [{"name": "app", "image": "127.0.0.1:1/none:1"}])
    wait_for("stopped", arn)
    task = described(arn)
    assert task["stopCode"] == "TaskFailedToStart" and "exitCode" not in task["containers"][0], task
    assert "CannotPullContainerError" in task["stoppedReason"], task


def what_never_fits_is_refused():
    ecs.register_task_definition(family="large", cpu="256", memory="60 GB", containerDefinitions=[container("app", "true")])
    ran = ecs.run_task(taskDefinition="large")
    assert ran["tasks"] == [] or described(ran["tasks"][0]["taskArn"])["lastStatus"], ran
    for task in ran["tasks"]:
        ecs.stop_task(task=task["taskArn"])


def a_service_heals():
    ecs.register_task_definition(family="kept", cpu="256", memory="64", containerDefinitions=[container("app", "exec sleep 1000")])
    ecs.create_service(serviceName="kept", taskDefinition="kept", desiredCount=1)
    ecs.get_waiter("services_stable").wait(services=["kept"], WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    first = ecs.list_tasks(serviceName="kept")["taskArns"]
    kill_microvms()
    wait_for("stopped", first[0])
    ecs.get_waiter("services_stable").wait(services=["kept"], WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    second = ecs.list_tasks(serviceName="kept")["taskArns"]
    assert len(second) == 1 and second != first, (first, second)
    ecs.update_service(service="kept", desiredCount=0)
    ecs.delete_service(service="kept", force=True)
    ecs.get_waiter("services_inactive").wait(services=["kept"], WaiterConfig={"Delay": 1, "MaxAttempts": 300})


def a_bad_deployment_is_rolled_back():
    def deployments():
        return ecs.describe_services(services=["careful"])["services"][0]["deployments"]

    def register(script):
        ecs.register_task_definition(family="careful", cpu="256", memory="64", containerDefinitions=[container("app", script)])

    register("exec sleep 1000")
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    ecs.create_service(serviceName="careful", taskDefinition="careful", desiredCount=1, deploymentConfiguration=breaker)
    # Only what was complete is rolled back to.
    while deployments()[0]["rolloutState"] != "COMPLETED":
        time.sleep(1)
    register("exit 1")
    ecs.update_service(service="careful", taskDefinition="careful")
    assert deployments()[0]["taskDefinition"].endswith("careful:2"), deployments()
    while not deployments()[0]["taskDefinition"].endswith("careful:1"):
        time.sleep(1)
    ecs.get_waiter("services_stable").wait(services=["careful"], WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    assert [entry["rolloutState"] for entry in deployments()] == ["COMPLETED"], deployments()
    said = [event["message"] for event in ecs.describe_services(services=["careful"])["services"][0]["events"]]
    assert any("rolling back to" in message for message in said), said
    ecs.delete_service(service="careful", force=True)
    ecs.get_waiter("services_inactive").wait(services=["careful"], WaiterConfig={"Delay": 1, "MaxAttempts": 300})


def the_command_line_does_the_same():
    program = Path(sys.executable).with_name("aws")
    command = [program, "--endpoint-url", ENDPOINT, "--region", REGION, "--output", "json", "ecs"]
    ran = subprocess.run([*command, "run-task", "--task-definition", "stays"], check=True, capture_output=True, text=True)
    arn = json.loads(ran.stdout)["tasks"][0]["taskArn"]
    subprocess.run([*command, "wait", "tasks-running", "--tasks", arn], check=True)
    subprocess.run([*command, "stop-task", "--task", arn], check=True, capture_output=True)
    subprocess.run([*command, "wait", "tasks-stopped", "--tasks", arn], check=True)


CHECKS = [
    a_task_runs_until_it_is_stopped,
    a_task_ends_with_its_essential_container,
    what_has_no_image_fails_to_start,
    what_never_fits_is_refused,
    a_service_heals,
    a_bad_deployment_is_rolled_back,
    the_command_line_does_the_same,
]
for check in CHECKS:
    check()
    print(check.__name__, flush=True)
