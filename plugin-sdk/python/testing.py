"""Tries a policy as the host does, without Wasm: `python3 -m unittest` is enough."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from . import weir
from .weir import Action, Entity, Measure, Part, Policy, Request, crossing


def tried(
    judge: Policy, config: Any, request: dict[str, Any], reads: Iterable[str] | None = None
) -> dict[str, Any]:
    """The verdict on a request, both in their JSON forms.

    What the policy raises is raised, where it refuses its configuration or cannot judge. The host is told its type and
    text. The policy is given what `reads` point to and nothing else, as by a host: those of its manifest.json where none
    are named here.
    """
    judge.configure(json.dumps(config))
    verdict = asdict(crossing(judge.evaluate(asked(request, reads)), Types))
    said = [{name: value for name, value in found.items() if value is not None} for found in verdict["findings"]]
    return {**verdict, "findings": said, "scores": dict(verdict["scores"])}


class Types:
    """Those of a verdict in its JSON form."""

    EFFECTS = {effect: effect for effect in weir.EFFECTS}
    SEVERITIES = {severity: severity for severity in weir.SEVERITIES}
    Verdict, Finding, Edit, Obligation = weir.Verdict, weir.Finding, weir.Edit, weir.Obligation

    @staticmethod
    def Score(name: str, value: float) -> tuple[str, float]:
        return name, value


def asked(request: dict[str, Any], reads: Iterable[str] | None = None) -> Request:
    """A request in its JSON form, as the policy is given it; what is missing is empty."""
    pointers = _manifest().get("reads", [""]) if reads is None else reads
    segments = [[name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/")[1:]] for pointer in pointers]
    request = _cut({"tenant": "default", **request}, segments)
    texts = {name: request[name] for name in ("id", "checkpoint", "tenant", "system") if name in request}
    action = request.get("action", {})
    return Request(
        **{"tenant": "", **texts},
        time_ms=_milliseconds(request["time"]) if "time" in request else 0,
        subject=_entity(request.get("subject", {})),
        action=Action(action.get("name", ""), json.dumps(action.get("properties", {}))),
        resource=_entity(request.get("resource", {})),
        context_text=json.dumps(request.get("context", {})),
        content=[_part(part, index) for index, part in enumerate(request.get("content", []))],
        measures=[_measure(measure) for measure in request.get("measures", [])],
        payload_text=json.dumps(request.get("payload")),
    )


def _manifest() -> dict[str, Any]:
    """The one beside the policy; without one it reads everything."""
    path = Path(__file__).parent.parent / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _cut(value: Any, pointers: list[list[str]]) -> Any:
    """What of a value the pointers lead to, by way of objects."""
    if [] in pointers:
        return value
    kept = {}
    for name, inner in value.items():
        deeper = [rest for first, *rest in pointers if first == name]
        if [] in deeper or (deeper and isinstance(inner, dict)):
            kept[name] = _cut(inner, deeper)
    return kept


def _entity(entity: dict[str, Any]) -> Entity:
    return Entity(entity.get("type", ""), entity.get("id", ""), json.dumps(entity.get("properties", {})))


def _part(part: dict[str, Any], index: int) -> Part:
    at = f"/content/{index}/text"
    return Part(part.get("role", ""), part.get("origin", "retrieved"), part.get("text", ""), at)


def _measure(measure: dict[str, Any]) -> Measure:
    name, group = measure.get("name", ""), measure.get("group", "")
    return Measure(name, group, measure.get("value", 0.0), measure.get("count", 0))


def _milliseconds(time: str) -> int:
    return round(datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp() * 1000)
