"""boto3 clients whose every answer is checked against Amazon's own model: members that it does not know or that have another type fail."""

import json

import boto3
import botocore.config

import model

# The operations that were checked.
CHECKED = set()


def client(service, endpoint, region, **keys):
    """A client of a service at an endpoint. It does not try again: what fails, fails."""
    configuration = botocore.config.Config(retries={"total_max_attempts": 1}, region_name=region)
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
    CHECKED.add(operation)
