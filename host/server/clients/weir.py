"""Asks a Weir server for decisions. One file, no dependencies, Python 3.9 or later.

    weir = Weir("http://127.0.0.1:7171", key="weir_…")
    decision = weir.evaluate({"checkpoint": "tool.call", "payload": {"amount": 120}})
    if decision.allowed:
        ...

Whatever goes wrong is a decision that denies: no answer in time, no server, a problem instead of a decision. It
says so in `decided_by`, which is then `["client"]`, and in `problem`.

Safe for many threads: each has a connection of its own, which is kept.
"""

from __future__ import annotations

import http.client
import io
import json
import socket
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any, Dict, List, Literal, Mapping, Optional, Sequence, TypedDict, cast

# Types of openapi.json: begin, made from it


class Action(TypedDict, total=False):
    name: str
    properties: Dict[str, Any]


class _Content(TypedDict):
    text: str


class Content(_Content, total=False):
    origin: Literal["system", "user", "model", "tool", "retrieved"]
    role: str


class _Answer(TypedDict):
    checkpoint: str
    decided_by: List[str]
    edits: List[Edit]
    effect: Effect
    findings: List[Finding]
    generation: Generation
    obligations: List[Obligation]
    policies: List[PolicyReport]
    request: str
    scores: Dict[str, float]
    tenant: str
    v: Literal[1]


class Answer(_Answer, total=False):
    record: Optional[str]
    review: Any
    shadow: List[PolicyReport]
    system: Optional[str]


class Edit(TypedDict):
    at: str
    end: int
    policies: List[str]
    replacement: str
    start: int


Effect = Literal["allow", "review", "deny"]


class Entity(TypedDict, total=False):
    id: str
    properties: Dict[str, Any]
    type: str


class _Finding(TypedDict):
    code: str
    message: str
    policy: str
    severity: Severity


class Finding(_Finding, total=False):
    at: str
    because: List[str]
    end: int
    measured: Any
    start: int
    threshold: Any


class Generation(TypedDict):
    digest: str
    number: int


class Measure(TypedDict, total=False):
    count: int
    group: str
    name: str
    value: float


class _Obligation(TypedDict):
    name: str


class Obligation(_Obligation, total=False):
    because: List[str]
    policies: List[str]


class PolicyReport(TypedDict):
    name: str


class _Problem(TypedDict):
    code: str
    detail: str
    status: int


class Problem(_Problem, total=False):
    pointer: str
    report: Dict[str, Any]
    retry_after_ms: int


class _Request(TypedDict):
    checkpoint: str


class Request(_Request, total=False):
    action: Action
    content: List[Content]
    context: Dict[str, Any]
    id: str
    measures: List[Measure]
    payload: Any
    resource: Entity
    subject: Entity
    system: str
    tenant: str
    time: str


Severity = Literal["info", "low", "medium", "high", "critical"]


# Types of openapi.json: end


@dataclass(frozen=True)
class Decision:
    """What a server decided, or a denial of this client's own."""

    effect: Effect
    decided_by: List[str]
    #: The whole answer, as `GET /openapi.json` describes it; empty where there is none.
    answer: Answer = field(default_factory=lambda: cast(Answer, {}))
    #: Why there is no decision of the server; None where there is one.
    problem: str | None = None

    @property
    def allowed(self) -> bool:
        """Whether the action may go on, with the edits of the answer made."""
        return self.effect == "allow"

    @property
    def record(self) -> str | None:
        """Names the record that proves the decision."""
        return self.answer.get("record")


def _denied(why: str) -> Decision:
    return Decision("deny", ["client"], problem=why)


class Weir:
    """A client of one server."""

    def __init__(self, url: str, key: str | None = None, timeout: float = 0.25) -> None:
        """`timeout` is in seconds, for the whole of a call; the server is told it, and has a bound of its own."""
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http or https address")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._prefix, self._timeout = parts.hostname, parts.port, parts.path.rstrip("/"), timeout
        self._headers = {"Content-Type": "application/json", "Weir-Timeout-Ms": str(max(1, int(timeout * 1000)))}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._own = threading.local()

    def evaluate(self, request: Request) -> Decision:
        """Asks for one decision. Never raises: what cannot be asked is denied."""
        try:
            return _decision(*self._post("/v1/evaluate", request))
        except Exception as error:
            return _denied(f"{type(error).__name__}: {error}")

    def evaluate_batch(self, requests: Sequence[Request]) -> list[Decision]:
        """Asks for many decisions at once, in the order of the requests."""
        try:
            status, answer = self._post("/v1/evaluate/batch", {"requests": list(requests)})
            answers = answer["answers"] if status == 200 else None
            if answers is None or len(answers) != len(requests):
                why = _problem(status, answer)
                return [_denied(why) for _ in requests]
            return [
                _decision(200, one["decision"]) if "decision" in one else _denied(_problem(0, one.get("problem")))
                for one in answers
            ]
        except Exception as error:
            return [_denied(f"{type(error).__name__}: {error}") for _ in requests]

    def _post(self, path: str, value: Mapping[str, Any]) -> tuple[int, Any]:
        body, until = json.dumps(value).encode(), time.monotonic() + self._timeout
        kept = getattr(self._own, "connection", None)
        if kept is not None:
            try:
                return self._send(kept, path, body, until)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # An idle connection that the server has ended: asking again judges nothing twice.
                kept.close()
            except BaseException:
                self._own.connection = None
                kept.close()
                raise
        connection = self._connect(self._host, self._port, timeout=_left(until))
        try:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock = cast(socket.socket, _Bounded(connection.sock))
            answer = self._send(connection, path, body, until)
        except BaseException:
            self._own.connection = None
            connection.close()
            raise
        self._own.connection = connection
        return answer

    def _send(self, connection: http.client.HTTPConnection, path: str, body: bytes, until: float) -> tuple[int, Any]:
        cast(_Bounded, connection.sock).until = until
        connection.request("POST", self._prefix + path, body, self._headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


class _Bounded:
    """A socket whose calls end by one moment, in however many pieces the other side answers."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self.until = sock, 0.0

    def wait(self) -> None:
        """Bounds the next call."""
        self._sock.settimeout(_left(self.until))

    def sendall(self, data: bytes) -> None:
        self.wait()
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reads(self, self._sock.makefile("rb", buffering=0)))

    def close(self) -> None:
        self._sock.close()


class _Reads(io.RawIOBase):
    def __init__(self, bounded: _Bounded, raw: Any) -> None:
        self._bounded, self._raw = bounded, raw

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int | None:
        self._bounded.wait()
        return cast("int | None", self._raw.readinto(into))

    def close(self) -> None:
        self._raw.close()
        super().close()


def _problem(status: int, answer: Any) -> str:
    if isinstance(answer, Mapping) and "code" in answer:
        return f"{answer['code']}: {answer.get('detail', '')}"
    return f"status {status} without a decision"


def _decision(status: int, answer: Any) -> Decision:
    if status != 200 or not isinstance(answer, Mapping) or answer.get("effect") not in ("allow", "review", "deny"):
        return _denied(_problem(status, answer))
    return Decision(answer["effect"], list(answer["decided_by"]), answer)
