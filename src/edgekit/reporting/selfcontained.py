"""What makes a page of one file: its template, Plotly's script inside it, and a policy that lets it ask for nothing."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
from importlib import resources
from typing import Any

from edgekit.core.errors import MissingRequirement
from edgekit.reporting import words

INSTALL = 'pip install "edgekit[report]"'


def environment(package: str = "edgekit.reporting") -> Any:
    """A Jinja environment of the folder ``templates`` of a package, which escapes everything.

    Raises:
        MissingRequirement: jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingRequirement("jinja2, which fills the report's template,", INSTALL) from error
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters["breakable"] = words.breakable
    return made


@functools.cache
def library() -> bytes:
    """Plotly's script as a browser reads it out of the file."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingRequirement("plotly, which draws the report's charts,", INSTALL) from error
    # A browser turns CR LF inside a script into LF before it compares the hash.
    return get_plotlyjs().replace("\r\n", "\n").encode()  # type: ignore[no-any-return]


def resource(name: str) -> str:
    """A file of the report: ``report.css`` or ``report.js``."""
    return (resources.files("edgekit.reporting") / "templates" / name).read_text(encoding="utf-8")


def packed(script: bytes) -> str:
    """A script as the page keeps it: compressed, in base64."""
    return base64.b64encode(gzip.compress(script, 9, mtime=0)).decode()


def csp_hash(script: bytes) -> str:
    """What a Content-Security-Policy allows this script by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


def script_json(value: Any) -> str:
    """JSON that cannot end the ``<script>`` it is in."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
