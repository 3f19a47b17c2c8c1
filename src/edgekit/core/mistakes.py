"""What the validator found wrong, in the words of someone who writes YAML or JSON; its own words never reach a user.

Where several forms are allowed, the validator reports each of them; here they become one mistake: what is wrong inside
the form that the value has, or the list of the forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from edgekit.core import suggest
from edgekit.core.spec import NAME

Location = tuple[int | str, ...]
Item = Mapping[str, Any]
Mistake = tuple[Location, Item]

_FRACTION = re.compile(r"\s*(\d+(?:\.\d*)?)\s*/\s*(\d+(?:\.\d*)?)\s*")
_KEY = "[key]"
_FORMS = "forms"
"""The type of a mistake that was made of several."""
_NOUNS = {
    "a whole number": ("int_type", "int_parsing", "int_parsing_size", "int_from_float"),
    "a number": ("float_type", "float_parsing", "decimal_type", "decimal_parsing"),
    "true or false": ("bool_type", "bool_parsing"),
    "a text": ("string_type", "string_unicode", "bytes_type", "uuid_type", "url_type"),
    "a list, [a, b]": (
        "list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type", "deque_type", "named_tuple_type",
    ),
    "a mapping, {key: value}": (
        "dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type", "dataclass_exact_type",
    ),
    "a path": ("path_type",),
    "nothing (null)": ("none_required",),
}  # fmt: skip
_NOUN = {kind: noun for noun, kinds in _NOUNS.items() for kind in kinds}
_WORDS = {
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected {ge} or more",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected {le} or less",
    "multiple_of": "expected a multiple of {multiple_of}",
    "finite_number": "expected a finite number",
    "string_too_short": "expected a text of at least {min_length} characters",
    "string_too_long": "expected a text of at most {max_length} characters",
    "string_pattern_mismatch": "expected a text of the form {pattern}",
    "string_not_ascii": "expected a text of ASCII characters",
    "too_short": "expected at least {min_length} entries, found {actual_length}",
    "too_long": "expected at most {max_length} entries, found more",
    "invalid_key": "expected a text as key",
    "missing": "this key is missing",
    "missing_argument": "this key is missing",
    "extra_forbidden": "unknown key",
    "unexpected_keyword_argument": "unknown key",
    "json_invalid": "not valid JSON: {error}",
}
_SELF_MADE = ("value_error", "assertion_error", "misfit", _FORMS)
"""Types whose message is edgekit's own."""


def mistakes(error: ValidationError, document: Any) -> list[Mistake]:
    """Every mistake in ``document`` with its place there; the forms of one value that may have several are one."""
    return _joined(list(_flat(error, ())), document)


def words(item: Item) -> str:
    """What was expected."""
    kind, context, value = str(item["type"]), item.get("ctx", {}), item.get("input")
    if kind in _SELF_MADE or kind not in (*_NOUN, *_WORDS, "literal_error", "enum"):
        return _own(item)
    if kind in ("literal_error", "enum"):
        near = suggest.nearest(str(value), re.findall(r"'([^']*)'", context["expected"]))
        return f"expected {context['expected']}" + (f" (did you mean {near!r}?)" if near is not None else "")
    if kind == "string_pattern_mismatch" and context["pattern"] == NAME:
        return "expected letters, digits, '.', '_' and '-', a letter or digit first, such as camvid-seg"
    if kind in _NOUN:
        return f"expected {_NOUN[kind]}{_hint(kind, value)}"
    return _WORDS[kind].format(**context)


def _own(item: Item) -> str:
    """A message that edgekit wrote; of a type that has no words here, that the value does not fit."""
    if item["type"] in _SELF_MADE:
        return str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return f"this value does not fit ({str(item['type']).replace('_', ' ')})"


def _hint(kind: str, value: Any) -> str:
    if kind == "string_type" and isinstance(value, int | float):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f", in quotes: '{text}'"
    fraction = _FRACTION.fullmatch(str(value)) if kind == "float_parsing" else None
    if fraction and float(fraction[2]):
        return f": write {float(fraction[1]) / float(fraction[2]):.9g}"
    if kind == "tuple_type" and isinstance(value, dict):
        return ", not a mapping"
    return ""


def _flat(error: ValidationError, prefix: Location) -> Iterator[Mistake]:
    """Every mistake with its place; those of a plugin's own Config keep their places."""
    for item in error.errors():
        where = (*prefix, *item["loc"])
        context = item.get("ctx", {})
        where = (*where, *context.get("at", ()))
        inner = context.get("error")
        if isinstance(inner, ValidationError):
            yield from _flat(inner, where)
        else:
            yield where, item


def _joined(found: Sequence[Mistake], document: Any) -> list[Mistake]:
    """The mistakes without the validator's marks in their places; see :func:`mistakes`."""
    made: dict[Location, list[Mistake]] = {}
    forms: dict[Location, dict[str, list[Mistake]]] = {}
    for where, item in found:
        cut = _mark(where, item, document)
        if cut is None:
            made.setdefault(where, []).append((where, item))
            continue
        place = where[:cut]
        made.setdefault(place, [])  # in the order of the document
        forms.setdefault(place, {}).setdefault(str(where[cut]), []).append(((*place, *where[cut + 1 :]), item))
    whole: list[Mistake] = []
    for place, mistakes in made.items():
        whole += mistakes
        if place in forms:
            whole += _joined(_form(place, forms[place]), document)
    return whole


def _form(place: Location, branches: Mapping[str, list[Mistake]]) -> list[Mistake]:
    """The mistakes inside the form that a value has; when it has none, one mistake that lists them."""
    for mistakes in branches.values():
        if not any(where == place and item["type"] in (*_NOUN, "literal_error") for where, item in mistakes):
            return mistakes
    if len(branches) == 1:
        return next(iter(branches.values()))
    items = [item for mistakes in branches.values() for _, item in mistakes]
    nouns = dict.fromkeys(_NOUN.get(item["type"]) or str(item.get("ctx", {}).get("expected")) for item in items)
    return [(place, {"type": _FORMS, "msg": f"expected {' or '.join(nouns)}", "input": items[0].get("input")})]


def _mark(where: Location, item: Item, document: Any) -> int | None:
    """Where a place leaves the document although it goes on: a mark of the validator, such as ``tuple[str, ...]``."""
    node = document
    for at, part in enumerate(where):
        if item["type"] == "misfit":
            return None
        inside = dict(enumerate(node)) if isinstance(node, list | tuple) else node if isinstance(node, dict) else {}
        if part in inside:
            node = inside[part]
        elif isinstance(part, int):
            return None
        elif at < len(where) - 1 or part == _KEY or item["type"] in (*_NOUN, "literal_error"):
            return at
        else:  # a key that is not written
            return None
    return None
