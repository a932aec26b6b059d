"""Checks mote's tables of members, a JSON document on standard input, against Amazon ECS's own model."""

import json
import sys

import model

problems = list(model.table_problems(json.load(sys.stdin)))
print("\n".join(problems))
sys.exit(1 if problems else 0)
