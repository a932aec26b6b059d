"""What checks of running tasks have in common: `SCRIPT ENDPOINT IMAGE RUNTIME`, with a key in AWS's variables of the environment.

RUNTIME is the host agent's runtime directory, after which the cgroups of its microVMs are named.
"""

import os
import signal
import sys
import time
from pathlib import Path

import botocore.exceptions
import checked

ENDPOINT, IMAGE, RUNTIME = sys.argv[1:]
REGION = "us-east-1"
GROUP = "/e2e"
ecs = checked.client("ecs", ENDPOINT, REGION)
logs = checked.client("logs", ENDPOINT, REGION)


def container(name, script, **members):
    options = {"awslogs-group": GROUP, "awslogs-stream-prefix": "p"}
    log = {"logDriver": "awslogs", "options": options}
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], "logConfiguration": log, **members}


def register(family, *containers, **members):
    ecs.register_task_definition(family=family, cpu="256", memory="64", containerDefinitions=list(containers), **members)


def run(family, **members):
    ran = ecs.run_task(taskDefinition=family, **members)
    assert not ran["failures"], ran
    return ran["tasks"][0]["taskArn"]


def wait_for(status, arn):
    try:
        ecs.get_waiter(f"tasks_{status}").wait(tasks=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    except botocore.exceptions.WaiterError as error:
        raise AssertionError(described(arn)) from error


def wait_for_service(status, name):
    try:
        ecs.get_waiter(f"services_{status}").wait(services=[name], WaiterConfig={"Delay": 1, "MaxAttempts": 300})
    except botocore.exceptions.WaiterError as error:
        raise AssertionError(service(name)) from error


def until(what, look):
    """Looks until there is an answer."""
    for _ in range(600):
        answer = look()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"{what}: in vain")


def described(arn):
    return ecs.describe_tasks(tasks=[arn])["tasks"][0]


def service(name):
    return ecs.describe_services(services=[name])["services"][0]


def stream(arn, name="app"):
    return f"p/{name}/{arn.rsplit('/', 1)[1]}"


def wrote(arn, name="app"):
    try:
        events = logs.get_log_events(logGroupName=GROUP, logStreamName=stream(arn, name), startFromHead=True)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in events]


def kill_microvms():
    cgroups = Path("/sys/fs/cgroup").glob(f"mote{RUNTIME.replace('/', '-')}/*/cgroup.procs")
    processes = [int(line) for procs in cgroups for line in procs.read_text().split()]
    assert processes
    for process in processes:
        os.kill(process, signal.SIGKILL)


def play(*checks):
    for check in checks:
        begin = time.monotonic()
        check()
        print(f"{check.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
