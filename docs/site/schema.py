"""Reference pages from JSON Schema: a section for each object, a row for each key."""

from __future__ import annotations

import json
import re
from typing import Any

from docs.site.roles import prose

Node = dict[str, Any]
# Variants that several keys take are named by one of them.
PARENTS = {"format": "data", "method": "quantize"}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def page(title: str, intro: str, schema: Node, by_key: bool = False) -> str:
    """Markdown of one document's schema; ``by_key`` names sections by the key that leads there, not by the class."""
    return _Page(schema, by_key).render(title, intro)


class _Page:
    """One page; sections are numbered in the order in which they are first named."""

    def __init__(self, schema: Node, by_key: bool) -> None:
        self._schema = schema
        self._by_key = by_key
        self._defs: dict[str, Node] = schema.get("$defs", {})
        self._titles: dict[str, str] = {}  # of a section, by the text of its node
        self._waiting: list[Node] = []

    def render(self, title: str, intro: str) -> str:
        whole = self._schema
        body = self._body(whole, "") if "properties" in whole else [f"The document is: {self._type(whole, title, '')}."]
        parts = [f"# {title}\n", f"{intro}\n", *body]
        while self._waiting:
            node = self._waiting.pop(0)
            heading = self._titles[_key(node)]
            parts += [f"\n## {heading}\n", *self._body(node, heading)]
        return "\n".join(parts) + "\n"

    def _body(self, node: Node, heading: str) -> list[str]:
        rows = ["| key | type | default | what |", "|---|---|---|---|"]
        required = node.get("required", ())
        for name, value in node.get("properties", {}).items():
            default = "required" if name in required else _literal(value.get("default"))
            what = _cell(value.get("description", ""))
            rows.append(f"| `{name}` | {self._type(value, name, heading)} | {default} | {what} |")
        description = node.get("description", "")
        return [*([f"{prose(description)}\n"] if description else []), *rows]

    def _type(self, node: Node, name: str, heading: str) -> str:
        if "$ref" in node:
            title = node["$ref"].rpartition("/")[2]
            return self._type({**self._defs[title], "title": title.rpartition("__")[2]}, name, heading)
        for many in ("oneOf", "anyOf"):
            if many in node:
                return " or ".join(dict.fromkeys(self._type(n, name, heading) for n in node[many]))
        if "const" in node:
            return f"`{node['const']}`"
        if "enum" in node:
            return ", ".join(f"`{value}`" for value in node["enum"])
        if "properties" in node:
            return self._section(node, name)
        if node.get("type") == "array":
            return self._list(node, name, heading)
        if node.get("type") == "object":
            value = node.get("additionalProperties")
            return f"names to {self._type(value, name, heading)}" if isinstance(value, dict) and value else "mapping"
        kind = node.get("format", node.get("type", "any"))
        bounds = " ".join(f"{sign} {node[key]}" for key, sign in _BOUNDS.items() if key in node)
        return f"{kind} {bounds}".strip()

    def _list(self, node: Node, name: str, heading: str) -> str:
        if "prefixItems" in node:
            return "[" + ", ".join(self._type(n, name, heading) for n in node["prefixItems"]) + "]"
        return f"list of {self._type(node['items'], name, heading)}" if "items" in node else "list"

    def _section(self, node: Node, name: str) -> str:
        """A link to the section of an object, which is queued the first time."""
        key = _key(node)
        if key not in self._titles:
            self._titles[key] = self._new_title(node, name)
            self._waiting.append(node)
        title = self._titles[key]
        return f"[{title}](#{slug(title)})"

    def _new_title(self, node: Node, name: str) -> str:
        """After its class, or for variants after the key that tells them apart, such as ``task, kind: regression``."""
        fixed = [(key, n["const"]) for key, n in node["properties"].items() if "const" in n]
        if fixed and (self._by_key or node.get("title") in (None, "Config")):
            key, value = fixed[0]
            wanted = f"{PARENTS.get(key, name)}, {key}: {value}"
        else:
            wanted = name if self._by_key or node.get("title") in (None, "Config") else str(node["title"])
        taken = set(self._titles.values())
        return wanted if wanted not in taken else f"{wanted} ({len(taken)})"


def slug(title: str) -> str:
    """The anchor that the site gives to a heading."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def _key(node: Node) -> str:
    return json.dumps({k: v for k, v in node.items() if k not in ("default", "title")}, sort_keys=True)


def _literal(value: object) -> str:
    """A default; a long one is that of its own section."""
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= 60 else "that of its section"


def _cell(text: str) -> str:
    return prose(text).replace("\n", " ").replace("|", "\\|")
