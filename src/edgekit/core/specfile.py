"""Read ``edgekit.yaml``; report each mistake with its line, value, expectation and nearest name."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from edgekit.core import suggest
from edgekit.core.errors import ModelError, SpecError
from edgekit.core.mistakes import mistakes, words
from edgekit.core.spec import Spec
from edgekit.core.textfile import read_text

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)")
Location = tuple[int | str, ...]
Model = TypeVar("Model", bound=BaseModel)


SPEC = "edgekit.yaml"
_SUFFIXES = (".yaml", ".yml")
_SECTIONS = re.compile(r"^(model|task|targets):", re.MULTILINE)


def spec_file(path: Path) -> Path:
    """The file itself; of a folder ``edgekit.yaml``, else the only spec in it, whatever its name.

    Raises:
        SpecError: the folder holds several specs, none of them called ``edgekit.yaml``; all are named.
    """
    if not path.is_dir() or (path / SPEC).is_file():
        return path / SPEC if path.is_dir() else path
    found = _specs(path)
    if len(found) > 1:
        raise SpecError(f"{path}: holds {len(found)} specs, {', '.join(p.name for p in found)}; name one of them")
    return found[0] if found else path / SPEC


def _specs(folder: Path) -> list[Path]:
    """Files of a folder that look like specs, by their sections."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _SUFFIXES and path.is_file():
            with contextlib.suppress(OSError, UnicodeDecodeError):
                if len({match[1] for match in _SECTIONS.finditer(read_text(path))}) == 3:
                    found.append(path)
    return found


def _no_spec(path: Path) -> SpecError:
    """The error that there is no such file; it offers the specs that are there."""
    offered = [f.name for f in _specs(path.parent)] if path.parent.is_dir() else []
    near = suggest.nearest(path.name, offered)
    if near is not None or offered:
        hint = f"did you mean {near!r}?" if near is not None else f"this folder holds {', '.join(offered)}"
        return SpecError(f"{path}: no such file; {hint}")
    return SpecError(f"{path}: no such file; write one with: edgekit init my-project --task segmentation")


def require_exists(path: Path) -> None:
    """Raise SpecError when ``path``, or the folder that it is, holds no spec."""
    file = spec_file(path)
    if not file.exists():
        raise _no_spec(file)


def read_spec(path: Path) -> Spec:
    """The checked spec.

    Relative paths are taken from the file's folder; ``$NAME``, ``${NAME}`` and
    ``${NAME:-default}`` expand in every string.

    Raises:
        SpecError: the file is missing, is no YAML mapping, or has mistakes; all
            mistakes are listed, each with its line.
    """
    path = spec_file(path)
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise _no_spec(path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    tree = _parse(path, text, Spec)
    document = _expand(path, tree, tree, ())
    # Absolute: a bundle made from here must find its data from anywhere.
    base = path.parent.resolve()
    try:
        return Spec.model_validate(_with_base(document, base), context={"base": base})
    except ValidationError as error:
        raise _all(tuple(_describe(path, tree, Spec, loc, kind) for loc, kind in mistakes(error, document))) from error


def read_model(path: Path, kind: type[Model]) -> Model:
    """Another YAML file that a user writes, checked and reported as :func:`read_spec` does; of no plugin's sections.

    The validation context ``base`` is the file's folder, absolute: validators take relative paths from there.

    Raises:
        SpecError: the file is missing, is no YAML mapping, or has mistakes; all are listed, each with its line.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as UTF-8 text: {error}; name a YAML file") from error
    tree = _parse(path, text, kind)
    document = _expand(path, tree, tree, ())
    try:
        return kind.model_validate(document, context={"base": path.parent.resolve()})
    except ValidationError as error:
        raise _all(tuple(_describe(path, tree, kind, loc, item) for loc, item in mistakes(error, document))) from error


def located(path: Path, error: SpecError) -> SpecError:
    """The same mistakes, found after the file was read, each with its line: those that begin with ``kpis.NAME:``."""
    path = spec_file(path)
    tree = _parse(path, read_text(path), Spec)
    wheres = (problem.partition(": ")[0].split(".", 1) for problem in error.problems)
    problems = tuple(f"{path}:{_line(tree, w)}: {p}" for w, p in zip(wheres, error.problems, strict=True))
    return _all(problems)


@contextlib.contextmanager
def lines_of(given: Spec | Path) -> Iterator[None]:
    """What is wrong with the model is said after the line of the spec's file, where there is a file.

    That is the line of ``model.KEY`` where the message begins with it, else of ``model``.
    """
    try:
        yield
    except ModelError as error:
        if isinstance(given, Spec):
            raise
        path = spec_file(Path(given))
        key = re.match(r"model\.(\w+)", str(error))
        where = ("model", key[1]) if key else ("model",)
        raise ModelError(f"{path}:{_line(_parse(path, read_text(path), Spec), where)}: {error}") from error


def _all(problems: tuple[str, ...]) -> SpecError:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return SpecError(problems[0] + more, problems)


def _with_base(document: Any, base: Path) -> Any:
    """``model.base`` is ours, not the user's: filled in here, refused in the file."""
    model = document.get("model")
    if isinstance(model, dict):
        return {**document, "model": {**model, "base": None if "base" in model else base.resolve()}}
    return document


def _parse(path: Path, text: str, kind: type[BaseModel]) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        tree = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except YAMLError as error:  # a character that YAML forbids
        raise SpecError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(tree, dict):
        raise SpecError(f"{path}:1: expected a mapping with the keys {', '.join(kind.model_fields)}")
    return tree


def _expand(path: Path, root: Any, node: Any, where: Location) -> Any:
    """Plain Python values with environment variables replaced."""
    if isinstance(node, dict):
        return {str(key): _expand(path, root, value, (*where, key)) for key, value in node.items()}
    if isinstance(node, list):
        return [_expand(path, root, value, (*where, i)) for i, value in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, int):
        return int(node)
    if isinstance(node, float):
        return float(node)

    def value_of(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        fallback: str | None = match[2]
        value = os.environ.get(name, fallback)
        if value is None:
            at = _line(root, where)
            raise SpecError(
                f"{path}:{at}: environment variable {name} is not set; export it or write ${{{name}:-default}}"
            )
        return value

    return _VARIABLE.sub(value_of, str(node))


def _describe(path: Path, tree: Any, kind: type[BaseModel], where: Location, item: Any) -> str:
    if kind is Spec and where == ("model", "base"):
        item = {**item, "type": "extra_forbidden"}
    place = ".".join(str(part) for part in where) or "the file"
    start = f"{path}:{_line(tree, where)}: {place}"
    if item["type"] == "extra_forbidden":
        known = _keys_at(tree, where[:-1], kind)
        hint = f"; {suggest.allowed(where[-1], known)}" if known else ""
        return f"{start}: unknown key {str(where[-1])!r}{hint}"
    if item["type"] == "missing":
        return f"{start}: this key is missing"
    # A validator that many models share names the key itself.
    message = words(item).removeprefix(f"{where[-1]}: " if where else "")
    value = item.get("input")
    shown = isinstance(value, dict | list | tuple | BaseModel) or repr(value) in message
    return f"{start}: {message}" if shown else f"{start}: {message}; found {value!r}"


def _line(tree: Any, where: Sequence[int | str]) -> int:
    """1-based line of the deepest part of ``where`` that stands in the file."""
    line = 1
    node = tree
    for part in where:
        try:
            positions = node.lc
            found = positions.key(part)[0] if isinstance(node, dict) else positions.item(part)[0]
            line, node = found + 1, node[part]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return line


def _keys_at(tree: Any, where: Sequence[int | str], kind: type[BaseModel]) -> tuple[str, ...]:
    """Keys that the mapping at ``where`` may have, found by walking the models from ``kind`` on."""
    current: Any = kind
    node = tree
    for part in where:
        node = node[part]
        if isinstance(current, type) and issubclass(current, BaseModel):
            if part not in current.model_fields:
                return ()
            field = current.model_fields[str(part)]
            section = next((m for m in field.metadata if hasattr(m, "kind") and hasattr(m, "key")), None)
            current = section or field.annotation
        else:
            current = _element(current)
        current = _resolve(current, node)
    return _fields(current)


def _resolve(current: Any, node: Any) -> Any:
    if hasattr(current, "kind") and hasattr(current, "key"):
        name = current.named(node) if isinstance(node, dict) else None
        return current.config(str(name)) if name in current.names() else None
    return current


def _element(annotation: Any) -> Any:
    """The value type of ``dict[str, X]`` or ``tuple[X, ...]``, or its plugin section."""
    for argument in get_args(annotation):
        if argument in (str, ...):
            continue
        metadata = getattr(argument, "__metadata__", ())
        return metadata[0] if metadata else argument
    return None


def _fields(current: Any) -> tuple[str, ...]:
    if isinstance(current, type) and issubclass(current, BaseModel):
        return tuple(name for name, field in current.model_fields.items() if not field.exclude)
    return ()
