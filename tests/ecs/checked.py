"""boto3 clients whose every answer is checked against Amazon's own model: members that it does not know or that have another type fail."""

import json

import boto3
import botocore.config

import model

# The operations that were checked, each a service and a name.
CHECKED = set()

# The operations of ECS that only a host with microVMs has an answer to.
OPERATIONS_OF_SERVICES = {
    "CreateService",
    "DeleteService",
    "DescribeServiceDeployments",
    "DescribeServices",
    "ListServiceDeployments",
    "ListServices",
    "StopServiceDeployment",
    "UpdateService",
}


def client(service, endpoint, region, parameter_validation=True, **keys):
    """A client of a service at an endpoint. It does not try again: what fails, fails."""
    settings = {"retries": {"total_max_attempts": 1}, "parameter_validation": parameter_validation}
    configuration = botocore.config.Config(region_name=region, **settings)
    made = boto3.client(service, endpoint_url=endpoint, config=configuration, **keys)
    made.meta.events.register("after-call", _check)
    return made


def _check(http_response, model: object, **_):
    """Called by botocore with each answer."""
    if http_response.status_code == 200:
        _check_answer(model.service_model.service_name, model.name, json.loads(http_response.content or b"{}"))


def _check_answer(service, operation, answer):
    problems = model.answer_problems(operation, answer, model.LOGS_MODEL if service == "logs" else model.MODEL)
    assert not problems, problems
    CHECKED.add((service, operation))


def all_were_checked(service, operations):
    """Checks that each of these operations was answered, and the answer checked."""
    missing = {(service, operation) for operation in operations} - CHECKED
    assert not missing, sorted(missing)


def paged(made, operation, key, size=1, **arguments):
    """All items of a list, by boto3's own paginator, in pages of `size`: there are several, and none is larger."""
    pages = made.get_paginator(operation).paginate(PaginationConfig={"PageSize": size}, **arguments)
    return _several([page[key] for page in pages], size)


def by_token(call, key, size=1, **arguments):
    """The same for what boto3 has no paginator for."""
    pages, token = [], {}
    while token is not None:
        answer = call(maxResults=size, **token, **arguments)
        pages.append(answer[key])
        token = {"nextToken": answer["nextToken"]} if answer.get("nextToken") else None
    return _several(pages, size)


def log_events(logs, size, **arguments):
    """All lines of a stream, from the first on; it has come to its end where the token stays the same."""
    pages, token = [], {}
    while True:
        answer = logs.get_log_events(startFromHead=True, limit=size, **token, **arguments)
        pages.append([event["message"] for event in answer["events"]])
        if answer["nextForwardToken"] == token.get("nextToken"):
            return _several(pages, size)
        token = {"nextToken": answer["nextForwardToken"]}


def _several(pages, size):
    assert len(pages) > 1 and all(len(page) <= size for page in pages), pages
    return [item for page in pages for item in page]
