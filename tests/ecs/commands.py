"""Commands executed in a running task: boto3's `ExecuteCommand`, and a session over its data channel; its arguments are those of `running`."""

import checked
import websockets.exceptions
from running import container, described, ecs, play, register, run, until, wait_for
from session import Session


def task(family, **members):
    register(family, container("app", "exec sleep 1000"))
    arn = run(family, **members)
    wait_for("running", arn)
    return arn


def execute(arn, command):
    answer = ecs.execute_command(task=arn, container="app", command=command, interactive=True)
    known = described(arn)
    assert (answer["taskArn"], answer["clusterArn"]) == (arn, known["clusterArn"]), answer
    assert (answer["containerArn"], answer["containerName"]) == (known["containers"][0]["containerArn"], "app"), answer
    return answer["session"]


def a_shell_takes_lines_and_ends():
    session = Session(execute(TASK, "/bin/sh"), columns=90, rows=33)
    # The shell's echo has the sums, and only what it computes the results.
    session.type("stty size; echo sum $((6 * 7))\r")
    assert "33 90\r\n" in session.wait_for("sum 42\r\n"), session.output
    session.type("hostname > /entered; exit\r")
    session.wait()
    assert not session.under_way, "the host has not acknowledged what it took"
    # It was in the container, beside its process.
    output, _ = Session(execute(TASK, "sh -c 'wc -l < /entered; cat /proc/1/cmdline'")).wait()
    assert output.startswith("1\r\n") and "sleep" in output, output


def much_output_arrives_whole_and_in_order():
    output, _ = Session(execute(TASK, "seq 1 20000")).wait()
    assert output == "".join(f"{number}\r\n" for number in range(1, 20001)), len(output)


def a_client_ends_its_session():
    session = Session(execute(TASK, "sh -c 'echo begun; exec sleep 54321'"))
    session.wait_for("begun")
    session.terminate()
    session.wait()
    # What looks for it does not find itself.
    processes = "sh -c 'grep -l \"5432[1]\" /proc/[0-9]*/cmdline | wc -l'"
    until("its process is gone", lambda: Session(execute(TASK, processes)).wait()[0].strip() == "0")


def a_token_works_once():
    opened = execute(TASK, "true")
    Session(opened).wait()
    stranger = dict(execute(TASK, "true"), tokenValue="0" * 64)
    for refused in [opened, stranger]:
        try:
            Session(refused)
        except (websockets.exceptions.InvalidStatus, websockets.exceptions.ConnectionClosedError):
            continue
        raise AssertionError(f"{refused} was accepted")


def a_task_that_is_not_meant_for_it_is_not_entered():
    arn = task("closed")
    try:
        execute(arn, "true")
    except ecs.exceptions.InvalidParameterException as error:
        assert "execute command was not enabled" in str(error), error
    else:
        raise AssertionError("it was entered")
    ecs.stop_task(task=arn)


TASK = task("open", enableExecuteCommand=True)
play(
    a_shell_takes_lines_and_ends,
    much_output_arrives_whole_and_in_order,
    a_client_ends_its_session,
    a_token_works_once,
    a_task_that_is_not_meant_for_it_is_not_entered,
)
ecs.stop_task(task=TASK)
wait_for("stopped", TASK)
checked.all_were_checked("ecs", {"ExecuteCommand"})
