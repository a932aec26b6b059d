"""Amazon ECS's own model, as botocore ships it: checks of answers and of mote's tables of members against it."""

import botocore.loaders

MODEL = botocore.loaders.Loader().load_service_model("ecs", "service-2")
LOGS_MODEL = botocore.loaders.Loader().load_service_model("logs", "service-2")

# What each type of the model is in a JSON document.
PYTHON_TYPES = {
    "string": str,
    "integer": int,
    "long": int,
    "double": (int, float),
    "float": (int, float),
    "boolean": bool,
    "timestamp": (int, float),
    "blob": str,
}


def answer_problems(operation, answer, model=MODEL):
    """The members of an answer that the model does not know or that have another type, a sentence each."""
    output = model["operations"][operation].get("output")
    if output is None:
        return [] if answer in ({}, None) else [f"{operation}: an answer where none is due"]
    return list(_value_problems(model["shapes"], output["shape"], answer, operation))


def _value_problems(shapes, name, value, path):
    shape = shapes[name]
    kind = shape["type"]
    if shape.get("document"):
        return
    if kind == "structure":
        yield from _structure_problems(shapes, shape, value, path)
    elif kind == "list":
        if not isinstance(value, list):
            yield f"{path}: a list is due, not {value!r}"
            return
        for index, item in enumerate(value):
            yield from _value_problems(shapes, shape["member"]["shape"], item, f"{path}[{index}]")
    elif kind == "map":
        if not isinstance(value, dict):
            yield f"{path}: a map is due, not {value!r}"
            return
        for key, item in value.items():
            yield from _value_problems(shapes, shape["value"]["shape"], item, f"{path}.{key}")
    else:
        is_boolean = isinstance(value, bool)
        if not isinstance(value, PYTHON_TYPES[kind]) or (is_boolean and kind != "boolean"):
            yield f"{path}: {kind} is due, not {value!r}"
        elif "enum" in shape and value not in shape["enum"]:
            yield f"{path}: {value!r} is none of {shape['enum']}"


def _structure_problems(shapes, shape, value, path):
    if not isinstance(value, dict):
        yield f"{path}: an object is due, not {value!r}"
        return
    for member in shape.get("required", []):
        if member not in value:
            yield f"{path}.{member}: is missing"
    for member, item in value.items():
        if member not in shape["members"]:
            yield f"{path}.{member}: is not a member"
        else:
            yield from _value_problems(shapes, shape["members"][member]["shape"], item, f"{path}.{member}")


def table_problems(table):
    """Where mote's tables of members say something else than the model, a sentence each."""
    known = set(table["operations"]) | set(table["unsupported"])
    for operation in sorted(set(MODEL["operations"]) ^ known):
        yield f"{operation}: is in the model or in mote's tables, not in both"
    for operation, members in table["operations"].items():
        shape = MODEL["operations"][operation]["input"]["shape"]
        yield from _members_problems(members, MODEL["shapes"][shape], operation)


def _members_problems(members, shape, path):
    for member in sorted(set(members) ^ set(shape["members"])):
        yield f"{path}.{member}: is in the model or in mote's tables, not in both"
    for name in sorted(set(members) & set(shape["members"])):
        description = members[name]
        if description["fate"] != "refused":
            if description["required"] != (name in shape.get("required", [])):
                yield f"{path}.{name}: required in the model or in mote's tables, not in both"
            yield from _kind_problems(description["kind"], shape["members"][name]["shape"], f"{path}.{name}")


def _kind_problems(kind, name, path):
    shape = MODEL["shapes"][name]
    if isinstance(kind, str):
        if kind != shape["type"]:
            yield f"{path}: {kind} in mote's tables, {shape['type']} in the model"
    elif "choice" in kind:
        unknown = set(kind["choice"]) - set(shape.get("enum", kind["choice"]))
        if shape["type"] != "string" or unknown:
            yield f"{path}: {sorted(unknown)} are not in the model"
    elif "list" in kind and shape["type"] == "list":
        yield from _kind_problems(kind["list"], shape["member"]["shape"], f"{path}[]")
    elif "structure" in kind and shape["type"] == "structure":
        yield from _members_problems(kind["structure"], shape, path)
    else:
        yield f"{path}: {kind} in mote's tables, {shape['type']} in the model"
