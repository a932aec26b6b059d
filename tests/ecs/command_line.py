"""The AWS command line, as a person uses it; its arguments are those of `running`, and AWS_V2 names the program of version 2.

Version 1 comes from Python's package index like boto3. Version 2, which alone has `aws logs tail`, is not there; Debian's package `awscli` is it.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from awscli.clidriver import create_clidriver
from running import ENDPOINT, GROUP, REGION, container, ecs, play, register, stream
from session import Session

PROGRAM_1 = Path(sys.executable).with_name("aws")
PROGRAM_2 = os.environ["AWS_V2"]
# After so long a program hangs.
HUNG_SECONDS = 600
# Where `session-manager-plugin` is found, and a Python that has what it imports.
HERE = Path(__file__).parent
ENVIRONMENT = dict(os.environ, PATH=f"{Path(sys.executable).parent}:{HERE}:{os.environ['PATH']}", AWS_PAGER="", PYTHONUNBUFFERED="1")
# Where version 1, which is loaded here, has its data: version 2 has other ones.
ENVIRONMENT.pop("AWS_DATA_PATH", None)


# One for all calls: in a machine, a Python program takes long to start.
VERSION_1 = create_clidriver()


def words_of(*words):
    return ["--endpoint-url", ENDPOINT, "--region", REGION, "--output", "json", *words]


def aws(*words):
    """What version 1 prints, run as its own program runs it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = VERSION_1.main(words_of(*words))
    assert code == 0, (words, code, printed.getvalue())
    return printed.getvalue()


def a_task_is_run_and_waited_for():
    ran = json.loads(aws("ecs", "run-task", "--task-definition", "line", "--enable-execute-command"))
    arn = ran["tasks"][0]["taskArn"]
    aws("ecs", "wait", "tasks-running", "--tasks", arn)
    described = json.loads(aws("ecs", "describe-tasks", "--tasks", arn))
    assert described["tasks"][0]["lastStatus"] == "RUNNING", described
    return arn


def a_command_is_executed():
    words = ["--cluster", "default", "--task", TASK, "--container", "app", "--interactive", "--command", "/bin/sh"]
    command = [PROGRAM_1, *words_of("ecs", "execute-command", *words)]
    typed = "echo sum $((6 * 7))\nexit\n"
    ran = subprocess.run(command, check=False, capture_output=True, text=True, env=ENVIRONMENT, input=typed)
    assert ran.returncode == 0, ran
    assert all(part in ran.stdout for part in ["Starting session", "sum 42", "Exiting session"]), ran


def logs_are_followed():
    words = ["--follow", "--since", "1h", "--format", "short", "--log-stream-name-prefix", stream(TASK)]
    tail = [PROGRAM_2, *words_of("logs", "tail", GROUP, *words)]
    with subprocess.Popen(tail, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as following:
        # Then its output ends, and with it this check.
        hung = threading.Timer(HUNG_SECONDS, following.kill)
        hung.start()
        lines = (line.split()[-1] for line in following.stdout)
        assert next(lines) == "first"
        # What is written while it follows comes as well, and what came does not come again.
        Session(ecs.execute_command(task=TASK, command="touch /go", interactive=True)["session"]).wait()
        assert next(lines) == "second"
        assert next(lines) == "third"
        hung.cancel()
        following.terminate()


def a_task_is_stopped():
    stopped = json.loads(aws("ecs", "stop-task", "--task", TASK, "--reason", "enough"))
    assert stopped["task"]["taskArn"] == TASK, stopped
    aws("ecs", "wait", "tasks-stopped", "--tasks", TASK)


SCRIPT = "echo first; until test -e /go; do sleep 0.1; done; echo second; echo third; exec sleep 1000"
register("line", container("app", SCRIPT))
TASK = a_task_is_run_and_waited_for()
play(a_command_is_executed, logs_are_followed, a_task_is_stopped)
