"""Tasks and services that really run, as boto3 sees them; its arguments are those of `running`."""

import checked
from running import (
    GROUP,
    container,
    described,
    ecs,
    kill_microvms,
    logs,
    play,
    register,
    run,
    service,
    stream,
    until,
    wait_for,
    wait_for_service,
    wrote,
)


def a_task_runs_until_it_is_stopped():
    wait = "trap 'exit 7' TERM; echo hello; while :; do sleep 0.1; done"
    register("stays", container("app", wait, environment=[{"name": "A", "value": "1"}]))
    arn = run("stays")
    wait_for("running", arn)
    task = described(arn)
    assert task["connectivity"] == "CONNECTED" and task["containers"][0]["lastStatus"] == "RUNNING", task
    assert task["createdAt"] <= task["pullStartedAt"] <= task["pullStoppedAt"] <= task["startedAt"], task
    # Before, it does not listen to the signal.
    until("it says hello", lambda: wrote(arn) == ["hello"])
    ecs.stop_task(task=arn, reason="enough")
    wait_for("stopped", arn)
    task = described(arn)
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough"), task
    assert task["containers"][0]["exitCode"] == 7, task
    assert task["startedAt"] <= task["stoppingAt"] <= task["executionStoppedAt"] <= task["stoppedAt"], task
    assert wrote(arn) == ["hello"], wrote(arn)


def a_task_ends_with_its_essential_container():
    mounts = [{"sourceVolume": "v", "containerPath": "/shared"}]
    first = container("first", "echo done > /shared/x", essential=False, mountPoints=mounts)
    second = container("second", "cat /shared/x; echo more; echo end; exit 3", mountPoints=mounts,
                       dependsOn=[{"containerName": "first", "condition": "SUCCESS"}])
    register("ends", first, second, volumes=[{"name": "v"}])
    arn = run("ends")
    wait_for("stopped", arn)
    task = described(arn)
    assert task["stopCode"] == "EssentialContainerExited", task
    assert [entry["exitCode"] for entry in task["containers"]] == [0, 3], task
    lines = ["done", "more", "end"]
    found = checked.paged(logs, "filter_log_events", "events", logGroupName=GROUP, logStreamNamePrefix="p/second/")
    assert [event["message"] for event in found] == lines, found
    assert checked.log_events(logs, 1, logGroupName=GROUP, logStreamName=stream(arn, "second")) == lines


def streams_are_listed_in_pages():
    listed = checked.paged(logs, "describe_log_streams", "logStreams", logGroupName=GROUP)
    names = [entry["logStreamName"] for entry in listed]
    assert names == sorted(names) and any(name.startswith("p/second/") for name in names), names


def what_has_no_image_fails_to_start():
    ecs.register_task_definition(family="missing", cpu="256", memory="64", containerDefinitions=[{"name": "app", "image": "127.0.0.1:1/none:1"}])
    arn = run("missing")
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
    register("kept", container("app", "exec sleep 1000"))
    ecs.create_service(serviceName="kept", taskDefinition="kept", desiredCount=1)
    wait_for_service("stable", "kept")
    first = ecs.list_tasks(serviceName="kept")["taskArns"]
    kill_microvms()
    wait_for("stopped", first[0])
    wait_for_service("stable", "kept")
    second = ecs.list_tasks(serviceName="kept")["taskArns"]
    assert len(second) == 1 and second != first, (first, second)
    ecs.create_service(serviceName="idle", taskDefinition="kept", desiredCount=0)
    arns = checked.paged(ecs, "list_services", "serviceArns")
    assert sorted(arn.rsplit("/", 1)[1] for arn in arns) == ["idle", "kept"], arns
    ecs.update_service(service="kept", desiredCount=0)
    for name in ["idle", "kept"]:
        ecs.delete_service(service=name, force=True)
        wait_for_service("inactive", name)


def a_bad_deployment_is_rolled_back():
    def deployments():
        return service("careful")["deployments"]

    register("careful", container("app", "exec sleep 1000"))
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    ecs.create_service(serviceName="careful", taskDefinition="careful", desiredCount=1, deploymentConfiguration=breaker)
    # Only what was complete is rolled back to.
    until("it is complete", lambda: deployments()[0]["rolloutState"] == "COMPLETED")
    register("careful", container("app", "exit 1"))
    ecs.update_service(service="careful", taskDefinition="careful")
    assert deployments()[0]["taskDefinition"].endswith("careful:2"), deployments()
    until("it is rolled back", lambda: deployments()[0]["taskDefinition"].endswith("careful:1"))
    wait_for_service("stable", "careful")
    assert [entry["rolloutState"] for entry in deployments()] == ["COMPLETED"], deployments()
    said = [event["message"] for event in service("careful")["events"]]
    assert any("rolling back to" in message for message in said), said
    # And so is what somebody stops.
    ecs.update_service(service="careful", taskDefinition="careful:2")
    [going] = ecs.list_service_deployments(service="careful", status=["PENDING", "IN_PROGRESS"])["serviceDeployments"]
    ecs.stop_service_deployment(serviceDeploymentArn=going["serviceDeploymentArn"], stopType="ROLLBACK")
    until("it is rolled back", lambda: deployments()[0]["taskDefinition"].endswith("careful:1"))
    wait_for_service("stable", "careful")
    listed = checked.by_token(ecs.list_service_deployments, "serviceDeployments", service="careful")
    arns = [entry["serviceDeploymentArn"] for entry in listed]
    told = ecs.describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"]
    assert {entry["status"] for entry in told} >= {"SUCCESSFUL"}, told
    ecs.delete_service(service="careful", force=True)
    wait_for_service("inactive", "careful")


play(
    a_task_runs_until_it_is_stopped,
    a_task_ends_with_its_essential_container,
    streams_are_listed_in_pages,
    what_has_no_image_fails_to_start,
    what_never_fits_is_refused,
    a_service_heals,
    a_bad_deployment_is_rolled_back,
)
checked.all_were_checked("ecs", checked.OPERATIONS_OF_SERVICES)
