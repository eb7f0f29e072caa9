"""Tries a policy as the host does, without Wasm: `python3 -m unittest` is enough."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from .weir import Action, Entity, Measure, Part, Policy, Request


def tried(judge: Policy, config: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The verdict on a request, both in their JSON forms.

    What the policy raises is raised, where it refuses its configuration or cannot judge. The host is told its type and
    text.
    """
    judge.configure(json.dumps(config))
    verdict = asdict(judge.evaluate(asked(request)))
    said = [{name: value for name, value in found.items() if value is not None} for found in verdict["findings"]]
    return {**verdict, "findings": said}


def asked(request: dict[str, Any]) -> Request:
    """A request in its JSON form; what is missing is empty."""
    texts = {name: request[name] for name in ("id", "checkpoint", "tenant", "system") if name in request}
    action = request.get("action", {})
    return Request(
        **texts,
        time_ms=_milliseconds(request["time"]) if "time" in request else 0,
        subject=_entity(request.get("subject", {})),
        action=Action(action.get("name", ""), json.dumps(action.get("properties", {}))),
        resource=_entity(request.get("resource", {})),
        context_text=json.dumps(request.get("context", {})),
        content=[_part(part, index) for index, part in enumerate(request.get("content", []))],
        measures=[_measure(measure) for measure in request.get("measures", [])],
        payload_text=json.dumps(request.get("payload")),
    )


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
