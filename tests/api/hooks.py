"""What schemathesis must not do to the machine that it runs on, and what it can't make up."""

import re

import schemathesis
from schemathesis.core import NotSet
from schemathesis.core.parameters import ParameterLocation

# Fields with an address that the host would call. Port 9 of this machine: the host refuses to call itself.
ADDRESSES = {"url", "callback_url"}
NOWHERE = "http://127.0.0.1:9/"

# The cursor of a page of sessions, or of what is in them, ends with a sum of what it says.
SUMMED = re.compile("[0-9a-f]{34}")


def at_home(value):
    """The same value with no address of anybody else in it."""
    if isinstance(value, dict):
        return {
            name: NOWHERE if name in ADDRESSES and isinstance(inner, str) and "://" in inner else at_home(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [at_home(inner) for inner in value]
    return value


def was_to_be_wrong(case):
    """Whether a wrong body was left out, since nothing could write it, where one may be absent: then nothing is wrong."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_negative or not isinstance(case.body, NotSet):
        return False
    others = [part.mode for at, part in meta.components.items() if at != ParameterLocation.BODY]
    body = case.operation.definition.raw.get("requestBody")
    return bool(body) and not body.get("required", False) and not any(mode.is_negative for mode in others)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    case.body = at_home(case.body)
    if was_to_be_wrong(case):
        case.body, case.media_type = {"no-such-field": True}, "application/json"
    if case.query and SUMMED.fullmatch(str(case.query.get("cursor", ""))):
        del case.query["cursor"]

