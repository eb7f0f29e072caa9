"""Makes a Weir policy of a function from a configuration and a request to a verdict.

    @policy
    def judge(config: Config, request: Request, verdict: Verdict) -> None: ...

An exception means "cannot judge", which counts as deny unless the operator wrote something else. The clock is the time
of the request, random numbers follow from its id, and what is printed goes to the host's log.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any, Literal, get_type_hints

from .config import decoded

Effect = Literal["allow", "review", "deny"]
Origin = Literal["system", "user", "model", "tool", "retrieved"]
Severity = Literal["info", "low", "medium", "high", "critical"]

EFFECTS = ("allow", "review", "deny")
SEVERITIES = ("info", "low", "medium", "high", "critical")


class Policy:
    """What is made of a function; it can still be called as one."""

    def __init__(self, judge: Callable[[Any, "Request", "Verdict"], None]):
        if inspect.iscoroutinefunction(judge) or inspect.isgeneratorfunction(judge):
            raise TypeError("`judge` has to answer before it returns, so it can neither await nor yield")
        first = next(iter(inspect.signature(judge).parameters))
        self._judge = judge
        self._kind = get_type_hints(judge).get(first, Any)
        self._config = None
        self._ready = False

    def __call__(self, config: Any, request: "Request", verdict: "Verdict") -> None:
        self._judge(config, request, verdict)

    def configure(self, text: str) -> None:
        """Reads what the operator wrote."""
        self._ready = False
        self._config = decoded(self._kind, json.loads(text))
        self._ready = True

    def evaluate(self, request: "Request") -> "Verdict":
        """Judges a request by the configuration it has read."""
        if not self._ready:
            raise RuntimeError("the policy is not configured")
        verdict = Verdict()
        # A verdict that is returned would be lost, and what is lost would allow.
        if self._judge(self._config, request, verdict) is not None:
            raise TypeError("`judge` returns nothing: call `verdict.deny()` and the others")
        return verdict


# The decorator of the function that judges. The type of its first parameter says what is made of the configuration.
policy = Policy


@dataclass
class Entity:
    """A subject or a resource."""

    type: str = ""
    id: str = ""
    properties_text: str = "{}"
    """As the caller wrote it, so that numbers keep their digits."""

    @cached_property
    def properties(self) -> Any:
        return json.loads(self.properties_text)


@dataclass
class Action:
    """What is done to the resource."""

    name: str = ""
    properties_text: str = "{}"
    """As the caller wrote it, so that numbers keep their digits."""

    @cached_property
    def properties(self) -> Any:
        return json.loads(self.properties_text)


@dataclass
class Span:
    """A place in the text at a JSON pointer. `start` and `end` are bytes of its UTF-8, not indices of a `str`."""

    at: str
    start: int
    end: int
    text: str = ""
    """What stands there."""


@dataclass
class Part:
    """One text of a conversation or document."""

    role: str
    origin: Origin
    """Where the text really comes from, which its wording cannot show."""
    text: str
    at: str
    """Its JSON pointer."""

    def find(self, pattern: str | re.Pattern[str]) -> list[Span]:
        """Where a word or a regular expression stands in the text. What matches nothing is left out."""
        return spans(self.at, self.text, pattern)


@dataclass
class Measure:
    """One number about one group, and how many cases it rests on."""

    name: str
    group: str
    value: float
    count: int


@dataclass
class Request:
    """What a policy is asked. What the manifest's `reads` leave out is empty."""

    id: str = ""
    checkpoint: str = ""
    tenant: str = "default"
    system: str = ""
    time_ms: int = 0
    subject: Entity = field(default_factory=Entity)
    action: Action = field(default_factory=Action)
    resource: Entity = field(default_factory=Entity)
    context_text: str = "{}"
    content: list[Part] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    payload_text: str = "null"
    """As the caller wrote it, so that numbers keep their digits."""

    @property
    def time(self) -> datetime:
        """The only clock there is, in UTC."""
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=self.time_ms)

    @cached_property
    def context(self) -> Any:
        return json.loads(self.context_text)

    @cached_property
    def payload(self) -> Any:
        return json.loads(self.payload_text)


@dataclass
class Finding:
    """A coded reason."""

    code: str
    severity: Severity
    message: str
    at: str | None = None
    start: int | None = None
    end: int | None = None
    measured: float | str | None = None
    threshold: float | str | None = None
    because: list[str] = field(default_factory=list)


@dataclass
class Edit:
    """A replacement in the text at a JSON pointer."""

    at: str
    start: int
    end: int
    replacement: str


@dataclass
class Obligation:
    """A duty of the caller."""

    name: str
    because: list[str] = field(default_factory=list)


@dataclass
class Verdict:
    """What a policy answers: allow, unless something else is said."""

    effect: Effect = "allow"
    findings: list[Finding] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    obligations: list[Obligation] = field(default_factory=list)

    def deny(self) -> None:
        """The step may not happen."""
        self.effect = "deny"

    def review(self) -> None:
        """People must look first. It never loosens what was said before."""
        if self.effect == "allow":
            self.effect = "review"

    def find(
        self,
        code: str,
        severity: Severity,
        message: str,
        span: Span | None = None,
        *,
        at: str | None = None,
        measured: float | str | None = None,
        threshold: float | str | None = None,
        because: Iterable[str] = (),
    ) -> None:
        """Adds a coded reason, at a span or at whatever a JSON pointer says."""
        finding = Finding(_text("code", code), _one_of("severity", SEVERITIES, severity), _text("message", message))
        if at is not None:
            finding.at = _text("at", at)
        if span is not None:
            finding.at, finding.start, finding.end = span.at, _offset("start", span.start), _offset("end", span.end)
        if measured is not None:
            finding.measured = _quantity("measured", measured)
        if threshold is not None:
            finding.threshold = _quantity("threshold", threshold)
        if because:
            finding.because = _reasons(because)
        self.findings.append(finding)

    def edit(self, span: Span, replacement: str) -> None:
        """Replaces a span."""
        start, end = _offset("start", span.start), _offset("end", span.end)
        self.edits.append(Edit(_text("at", span.at), start, end, _text("replacement", replacement)))

    def score(self, name: str, risk: float) -> None:
        """Sets a named risk from 0 to 1, where higher is worse; any other measurement belongs into a finding."""
        self.scores[_text("name", name)] = _risk(name, risk)

    def obligation(self, name: str, because: Iterable[str] = ()) -> None:
        """Adds a duty of the caller."""
        self.obligations.append(Obligation(_text("name", name), _reasons(because)))


def spans(at: str, text: str, pattern: str | re.Pattern[str]) -> list[Span]:
    """Where a word or a regular expression stands in the text at a JSON pointer, in bytes of its UTF-8."""
    found = []
    index = end = 0  # the same place, in the string and in bytes
    for begin, stop in _words(text, pattern) if isinstance(pattern, str) else _matches(text, pattern):
        word = text[begin:stop]
        start = end + len(text[index:begin].encode())
        index, end = stop, start + len(word.encode())
        found.append(Span(at, start, end, word))
    return found


def _words(text: str, word: str) -> Iterator[tuple[int, int]]:
    start = text.find(word) if word else -1
    while start >= 0:
        yield start, start + len(word)
        start = text.find(word, start + len(word))


def _matches(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    return (match.span() for match in pattern.finditer(text) if match[0])


# What crosses into the host is checked here, where an error still has a text, and where it can a place in the policy.


def crossing(verdict: Verdict, to: Any) -> Any:
    """The verdict in the types of `to`. Its methods have looked at what they were given, but all of it can be made and changed
    without them."""
    return to.Verdict(
        to.EFFECTS[_one_of("effect", EFFECTS, verdict.effect)],
        [_finding(found, to) for found in verdict.findings],
        [_edit(edit, to) for edit in verdict.edits],
        [to.Score(_text("name", name), _risk(name, risk)) for name, risk in verdict.scores.items()],
        [to.Obligation(_text("name", duty.name), _reasons(duty.because)) for duty in verdict.obligations],
    )


def _finding(found: Finding, to: Any) -> Any:
    return to.Finding(
        _text("code", found.code),
        to.SEVERITIES[_one_of("severity", SEVERITIES, found.severity)],
        _text("message", found.message),
        None if found.at is None else _text("at", found.at),
        None if found.start is None else _offset("start", found.start),
        None if found.end is None else _offset("end", found.end),
        None if found.measured is None else _quantity("measured", found.measured),
        None if found.threshold is None else _quantity("threshold", found.threshold),
        _reasons(found.because) if found.because else [],
    )


def _edit(edit: Edit, to: Any) -> Any:
    start, end = _offset("start", edit.start), _offset("end", edit.end)
    return to.Edit(_text("at", edit.at), start, end, _text("replacement", edit.replacement))


def _one_of(name: str, known: tuple[str, ...], value: str) -> str:
    if value not in known:
        raise ValueError(f"the {name} `{value}` is none of {', '.join(known)}")
    return value


def _risk(name: str, risk: float) -> float:
    if not 0 <= risk <= 1:
        raise ValueError(f"the score `{name}` is {risk}, but a score is a risk from 0 to 1")
    return float(risk)


def _text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"`{name}` is {value!r}, not a text")
    # JSON can hold half of a surrogate pair, which has no UTF-8.
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _offset(name: str, value: int) -> int:
    if type(value) is not int or not 0 <= value < 2**32:
        raise ValueError(f"`{name}` is {value!r}, not an offset")
    return value


def _quantity(name: str, value: float | str) -> str:
    return _text(name, str(value) if isinstance(value, (int, float)) else value)


def _reasons(because: Iterable[str]) -> list[str]:
    if isinstance(because, str):
        raise TypeError("`because` is a text, not a list of texts")
    return [_text("because", reason) for reason in because]
