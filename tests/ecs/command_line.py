"""The AWS command line, as a person uses it; its arguments are those of `running`, and AWS_V2 names the program of version 2.

Version 1 comes from Python's package index like boto3. Version 2, which alone has `aws logs tail`, is not there; Debian's package `awscli` is it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from running import ENDPOINT, GROUP, REGION, container, play, register, stream

VERSION_1 = Path(sys.executable).with_name("aws")
VERSION_2 = os.environ["AWS_V2"]
# Where `session-manager-plugin` is found, and a Python that has what it imports.
HERE = Path(__file__).parent
ENVIRONMENT = dict(os.environ, PATH=f"{Path(sys.executable).parent}:{HERE}:{os.environ['PATH']}", AWS_PAGER="", PYTHONUNBUFFERED="1")


def command(program, *words):
    return [program, "--endpoint-url", ENDPOINT, "--region", REGION, "--output", "json", *words]


def aws(*words, **options):
    ran = subprocess.run(command(VERSION_1, *words), check=False, capture_output=True, text=True, env=ENVIRONMENT, **options)
    assert ran.returncode == 0, ran
    return ran.stdout


def a_task_is_run_and_waited_for():
    ran = json.loads(aws("ecs", "run-task", "--task-definition", "line", "--enable-execute-command"))
    arn = ran["tasks"][0]["taskArn"]
    aws("ecs", "wait", "tasks-running", "--tasks", arn)
    described = json.loads(aws("ecs", "describe-tasks", "--tasks", arn))
    assert described["tasks"][0]["lastStatus"] == "RUNNING", described
    return arn


def a_command_is_executed():
    words = ["--task", TASK, "--container", "app", "--interactive", "--command", "/bin/sh"]
    said = aws("ecs", "execute-command", "--cluster", "default", *words, input="echo sum $((6 * 7))\nexit\n")
    assert "sum 42" in said and "Starting session" in said and "Exiting session" in said, said


def logs_are_followed():
    words = ["--follow", "--since", "1h", "--format", "short", "--log-stream-name-prefix", stream(TASK)]
    tail = command(VERSION_2, "logs", "tail", GROUP, *words)
    with subprocess.Popen(tail, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as following:
        lines = (line.split()[-1] for line in following.stdout)
        assert next(lines) == "first"
        # What is written while it follows comes as well, and what came does not come again.
        aws("ecs", "execute-command", "--cluster", "default", "--task", TASK, "--interactive", "--command", "touch /go")
        assert next(lines) == "second"
        assert next(lines) == "third"
        following.terminate()


def a_task_is_stopped():
    stopped = json.loads(aws("ecs", "stop-task", "--task", TASK, "--reason", "enough"))
    assert stopped["task"]["taskArn"] == TASK, stopped
    aws("ecs", "wait", "tasks-stopped", "--tasks", TASK)


SCRIPT = "echo first; until test -e /go; do sleep 0.1; done; echo second; echo third; exec sleep 1000"
register("line", container("app", SCRIPT))
TASK = a_task_is_run_and_waited_for()
play(a_command_is_executed, logs_are_followed, a_task_is_stopped)
