"""Budgets that outlive an evaluation; a policy that has some lists `"state"` in the `grants` of its manifest.

The host counts for each policy and tenant what was taken of a key within a window of time, by the time of requests.
What is taken is given back unless the ruling is allow, whoever else decided it. Natively they count in this process, in
windows that never end, and `forget` begins anew.
"""

import re
from dataclasses import dataclass
from typing import Any

try:
    import wit_world  # noqa: F401

    in_component = True
except ImportError:
    in_component = False

try:
    # Only a component whose world imports the state has it.
    from wit_world.imports import state as _host
except ImportError:
    _host = None

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LONGEST = 366 * _UNITS["d"]


@dataclass(frozen=True)
class Window:
    """Over what time a limit holds: 1 ms to 366 days."""

    ms: int
    tumbling: bool = False

    def __post_init__(self):
        if not 1 <= _whole("window", self.ms) <= _LONGEST:
            raise ValueError(f"a window has 1 ms to 366 days, not {self.ms}")

    @staticmethod
    def sliding_ms(ms: int) -> "Window":
        """Any time of this length. The host counts in sixteenths of it, always towards the limit."""
        return Window(ms)

    @staticmethod
    def tumbling_ms(ms: int) -> "Window":
        """From one multiple of this length since 1970, UTC, to the next: `86_400_000` are calendar days."""
        return Window(ms, tumbling=True)

    @staticmethod
    def parse_ms(text: str) -> int:
        """Milliseconds of `90s`, `10m`, `12h` or `30d`, as configurations write them: up to 366 days."""
        match = re.fullmatch(r"([0-9]{1,18})([smhd])", text)
        ms = int(match[1]) * _UNITS[match[2]] if match else 0
        if not 1 <= ms <= _LONGEST:
            raise ValueError(f"`{text}` is no time such as 90s, 10m, 12h or 30d, up to 366 days")
        return ms


@dataclass(frozen=True)
class Taken:
    """What the host answers."""

    granted: bool
    """Whether the amount fitted below the limit and is taken."""
    used: int
    """What counts in the window now, with what was granted."""
    resets_in_ms: int
    """Granted: until all of it counts no more. Not granted: until the amount would fit if nobody took anything meanwhile."""


def take(key: str, amount: int, limit: int, window: Window) -> Taken:
    """Takes an amount where it fits below the limit: one atomic step, whoever else asks. An amount of 0 only looks."""
    amount, limit = _whole("amount", amount), _whole("limit", limit)
    return _taken(_granted().take(_text("key", key), amount, limit, _record(window)))


def hold(key: str, name: str, amount: int, limit: int, window: Window) -> Taken:
    """As `take`, for an estimate: `settle` replaces it by what it came to."""
    amount, limit = _whole("amount", amount), _whole("limit", limit)
    return _taken(_granted().hold(_text("key", key), _text("name", name), amount, limit, _record(window)))


def settle(key: str, name: str, amount: int, window: Window) -> Taken:
    """Replaces the oldest estimate of this name by what it came to, in the window it was taken from.

    Where there is none the amount counts from now on. It is a fact, so no limit refuses it, and it stands whatever the ruling.
    """
    amount = _whole("amount", amount)
    return _taken(_granted().settle(_text("key", key), _text("name", name), amount, _record(window)))


def forget() -> None:
    """Begins with budgets that nobody has used; for native tests only."""
    _native.counters.clear()


def _granted() -> Any:
    if _host is None and in_component:
        raise RuntimeError('`grants` in manifest.json lack "state"')
    return _host or _native


def _record(window: Window) -> Any:
    if not isinstance(window, Window):
        raise TypeError(f"{window!r} is no Window")
    if _host is None:
        return window
    return _host.Window(window.ms, _host.Kind.TUMBLING if window.tumbling else _host.Kind.SLIDING)


def _taken(taken: Any) -> Taken:
    return Taken(taken.granted, taken.used, taken.resets_in_ms)


# What crosses into the host is checked here, where an error still has a text: there it would be a trap.


def _text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"`{name}` is {value!r}, not a text")
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _whole(name: str, value: int) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"`{name}` is {value!r}, not a whole number")
    return value


class _Native:
    """The stand-in for a host: used amounts and estimates by key and window."""

    def __init__(self):
        self.counters = {}

    def take(self, key, amount, limit, window):
        counter = self._counter(key, window)
        granted = counter["used"] + amount <= limit
        counter["used"] += amount if granted else 0
        return Taken(granted, counter["used"], window.ms)

    def hold(self, key, name, amount, limit, window):
        taken = self.take(key, amount, limit, window)
        if taken.granted:
            self._counter(key, window)["holds"].append((name, amount))
        return taken

    def settle(self, key, name, amount, window):
        counter = self._counter(key, window)
        held = next((hold for hold in counter["holds"] if hold[0] == name), None)
        if held is not None:
            counter["holds"].remove(held)
        counter["used"] = max(0, counter["used"] - (held[1] if held else 0)) + amount
        return Taken(True, counter["used"], window.ms)

    def _counter(self, key, window):
        return self.counters.setdefault((key, window), {"used": 0, "holds": []})


_native = _Native()
