"""Makes of JSON what a policy's types say; what does not fit is named by its JSON pointer."""

import dataclasses
import enum
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

PLAIN = (bool, int, float, str, list, dict, type(None))


def decoded(kind: Any, value: Any, at: str = "") -> Any:
    """JSON as this type: dataclasses, lists, sets, dictionaries, unions, literals, enums and what JSON itself has."""
    origin, of = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, at)
    if origin in (list, set, frozenset) and type(value) is list:
        return origin(decoded(of[0], item, f"{at}/{index}") for index, item in enumerate(value))
    if origin is dict and type(value) is dict:
        return {name: decoded(of[1], item, f"{at}/{_escaped(name)}") for name, item in value.items()}
    if origin in (Union, types.UnionType):
        return _one_of(of, value, at)
    if origin is Literal:
        return _known({known: known for known in of}, value, at)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _known({known.value: known for known in kind}, value, at)
    if kind is float and type(value) is int:
        return float(value)
    if kind in PLAIN and type(value) is kind:
        return value
    raise _wrong(getattr(origin or kind, "__name__", kind), value, at)


def _record(kind: Any, value: Any, at: str) -> Any:
    value = {} if value is None and at == "" else value
    if type(value) is not dict:
        raise _wrong("an object", value, at)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for name in value:
        if name not in fields:
            raise ValueError(f"unknown setting `{at}/{_escaped(name)}`")
    for name, field in fields.items():
        if name not in value and field.default is field.default_factory is dataclasses.MISSING:
            raise ValueError(f"`{at}/{name}` is missing")
    hints = get_type_hints(kind)
    return kind(**{name: decoded(hints[name], item, f"{at}/{name}") for name, item in value.items()})


def _one_of(kinds: tuple[Any, ...], value: Any, at: str) -> Any:
    wrong = []
    for kind in kinds:
        try:
            return decoded(kind, value, at)
        except ValueError as error:
            wrong.append(error)
    raise wrong[0]


def _known(meanings: dict[Any, Any], value: Any, at: str) -> Any:
    for known, meaning in meanings.items():
        # `1 == True`, but they are not the same JSON.
        if value == known and type(value) is type(known):
            return meaning
    raise _wrong(f"one of {', '.join(map(repr, meanings))}", value, at)


def _wrong(wanted: str, value: Any, at: str) -> ValueError:
    return ValueError(f"{f'`{at}`' if at else 'the configuration'} is {value!r}, not {wanted}")


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
