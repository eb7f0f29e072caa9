"""What becomes the component: the interface `judge`, by the policy in policy.py. It exists in the component alone."""

import sys

# CPython's own build has loaded it; whether the policy wants random numbers shows in its being loaded again.
_random = sys.modules.pop("random", None)

import policy  # noqa: E402
from policy import judge  # noqa: E402

_policys_random = sys.modules.get("random")
if _random is not None:
    sys.modules.setdefault("random", _random)

from componentize_py_types import Err  # noqa: E402
from wit_world.imports import types  # noqa: E402

from .weir import Action, Entity, Measure, Part, Policy, Request, crossing  # noqa: E402

# Anything else would be built, and would not answer.
if not isinstance(judge, Policy):
    raise TypeError("`judge` in policy.py is not what `@policy` makes")

ORIGINS = {origin: origin.name.lower() for origin in types.Origin}

FOLDER = policy.__file__.rpartition("/")[0] + "/"
SDK = __file__.rpartition("/")[0] + "/"


class Types:
    """Those of the interface that a verdict has."""

    EFFECTS = {effect.name.lower(): effect for effect in types.Effect}
    SEVERITIES = {severity.name.lower(): severity for severity in types.Severity}
    Verdict, Finding, Edit, Score, Obligation = types.Verdict, types.Finding, types.Edit, types.Score, types.Obligation


class Judge:
    """Made anew for each call: what is to stay is kept by `judge` itself."""

    def configure(self, config: str) -> None:
        try:
            judge.configure(config)
        except BaseException as error:
            raise Err(_explanation(error))

    def evaluate(self, request: types.Request) -> types.Verdict:
        try:
            if _policys_random is not None:
                _policys_random.seed(int.from_bytes(request.id.encode(), "little"))
            return crossing(judge.evaluate(_asked(request)), Types)
        except BaseException as error:
            raise Err(_explanation(error))


def _explanation(error: BaseException) -> str:
    """The error with the innermost line of the policy itself: all that leaves the component."""
    said = type(error).__name__
    try:
        said += f": {error}" if str(error) else ""
    except Exception:
        pass  # it has no text
    place, trace = "", error.__traceback__
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if path.startswith(FOLDER) and not path.startswith(SDK):
            place = f" ({path.removeprefix(FOLDER)}:{trace.tb_lineno})"
        trace = trace.tb_next
    return (said + place).encode("utf-8", "replace").decode()


def _asked(given: types.Request) -> Request:
    return Request(
        given.id,
        given.checkpoint,
        given.tenant,
        given.system,
        given.time_ms,
        Entity(given.subject.kind, given.subject.id, given.subject.properties),
        Action(given.action.name, given.action.properties),
        Entity(given.resource.kind, given.resource.id, given.resource.properties),
        given.context,
        [_part(part, index) for index, part in enumerate(given.content)],
        [Measure(measure.name, measure.group, measure.value, measure.count) for measure in given.measures],
        given.payload,
    )


def _part(given: types.Part, index: int) -> Part:
    return Part(given.role, ORIGINS[given.origin], given.text, f"/content/{index}/text")
