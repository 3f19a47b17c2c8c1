"""From the repository to a site: pages staged, reference generated, Zensical run in strict mode, the result checked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from docs.site import api, check, commands, schema
from docs.site.pages import Fault, stage

NAVIGATION: list[tuple[str, list[str]]] = [
    ("Start", ["index.md", "compress.md", "integrate.md", "morning-report.md", "readme.md"]),
    (
        "Guides",
        [
            "guide.md", "bundle.md", "preprocess.md", "tasks.md", "datasets.md", "bags.md", "rendered.md",
            "quantization.md", "prune.md", "distill.md", "training.md",
            "parity.md", "profiling.md", "evaluation.md", "gate.md", "ci.md", "history.md", "report.md",
            "orin.md", "ros2.md", "diagnostics.md", "images.md", "cpp.md", "operators.md", "hil.md", "cases.md",
            "mutants.md", "findability.md",
        ],
    ),
]  # fmt: skip
KEYS = """The keys of `edgekit.yaml`; an unknown key is an error. `edgekit schema` prints this page as JSON Schema.
What the sections mean: [model](../guide.md#models-edgekit-takes), [preprocess](../preprocess.md), [task](../tasks.md),
[data](../datasets.md), [compress](../quantization.md), [targets](../guide.md#targets-and-quantization),
[kpis](../gate.md#what-a-kpi-can-say), [parity](../parity.md#limits), [golden](../bundle.md#without-raw-frames)."""
PARAMETERS = """# Parameters of the ROS 2 node

What the node declares; [ROS 2](../ros2.md) says how to set them. *live*: at any time; *configure*:
while the node is unconfigured; *start*: only by whoever starts it.

"""
CSS = ".md-typeset td code { overflow-wrap: normal; word-break: normal; }\n"
CONFIG = """[project]
site_name = "edgekit"
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
copyright = "Apache-2.0"
extra_css = ["site.css"]
nav = {nav}

[project.theme]
font = false
features = ["navigation.indexes", "navigation.sections", "navigation.top", "content.code.copy"]

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"

[project.plugins.mkdocstrings.handlers.python]
paths = [{source}]

[project.plugins.mkdocstrings.handlers.python.options]
docstring_style = "google"
extensions = [{roles}]
filters = ["!^_"]
members_order = "source"
show_if_no_docstring = false
show_root_heading = true
show_root_full_path = true
show_source = false
show_signature_annotations = true
signature_crossrefs = true
separate_signature = true
heading_level = 2

[project.validation]
invalid_links = true
invalid_link_anchors = true
"""


def build(root: Path, folder: Path) -> Path:
    """Build the site of the repository ``root`` in ``folder``; the folder with the finished pages.

    Raises:
        Fault: a link or an anchor leads nowhere, a docstring names a parameter that is not there, a page loads a file
            from another host.
    """
    if folder.exists():
        shutil.rmtree(folder)
    pages = folder / "pages"
    stage(root, pages)
    _reference(root, pages)
    (pages / "site.css").write_text(CSS)
    config = folder / "zensical.toml"
    source, roles = (json.dumps(str(root / part)) for part in ("src", "docs/site/roles.py"))
    config.write_text(CONFIG.format(nav=_toml(_navigation(pages)), source=source, roles=roles))
    done = subprocess.run(
        [Path(sys.executable).parent / "zensical", "build", "--strict", "--config-file", config],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=folder,
    )  # fmt: skip
    if done.returncode != 0 or "Warning" in done.stdout or "griffe:" in done.stdout:
        raise Fault(f"zensical: exit code {done.returncode}\n{done.stdout}")
    check.site(folder / "site")
    return folder / "site"


def _reference(root: Path, pages: Path) -> None:
    """The pages that are made from the spec's schema, the commands and the docstrings."""
    from pydantic import TypeAdapter

    from edgekit.cli.schema_command import documents
    from edgekit.ros2_node.package.writing import all_parameters
    from edgekit.ros2_node.parameters import as_table

    folder = pages / "reference"
    (folder / "api").mkdir(parents=True)
    listing = ["# JSON documents\n", "What commands print with `--json`, and files of a bundle.\n"]
    for name, kind in documents().items():
        found = TypeAdapter(kind).json_schema()
        if name == "spec":
            (folder / "spec.md").write_text(schema.page("The spec", KEYS, found, by_key=True))
            continue
        text = f"`edgekit schema --of {name}` prints this as JSON Schema."
        (folder / f"document-{name}.md").write_text(schema.page(name, text, found))
        listing.append(f"- [{name}](document-{name}.md)")
    (folder / "documents.md").write_text("\n".join(listing) + "\n")
    (folder / "commands.md").write_text(commands.page())
    (folder / "ros2-parameters.md").write_text(PARAMETERS + as_table(all_parameters()))
    for name, text in api.pages(root).items():
        (folder / "api" / f"{name}.md").write_text(text)


Entry = dict[str, "str | list[Entry]"]


def _navigation(pages: Path) -> list[Entry]:
    def entries(names: list[str]) -> list[Entry]:
        return [{_title(pages / name): name} for name in names]

    def under(folder: str, first: tuple[str, ...] = ()) -> list[str]:
        found = sorted(p.relative_to(pages).as_posix() for p in (pages / folder).glob("*.md"))
        return [*first, *(name for name in found if name not in first)]

    project = ["architecture.md", "contributing.md", "measured.md", *under("benchmarks"), "changelog.md"]
    reference = ["reference/spec.md", "reference/commands.md", *under("reference", ("reference/documents.md",))]
    found: list[Entry] = [{title: entries(names)} for title, names in NAVIGATION]
    found.append({"Examples": entries(under("examples"))})
    found.append({"Reference": entries(list(dict.fromkeys(reference)))})
    found.append({"Python": entries(under("reference/api", ("reference/api/edgekit.md",)))})
    found.append({"Project": entries(project)})
    found.append({"Decisions": entries(under("decisions"))})
    listed = json.dumps(found)
    missing = [p for p in pages.rglob("*.md") if f'"{p.relative_to(pages).as_posix()}"' not in listed]
    if missing:
        raise Fault(f"no place in the navigation for {', '.join(map(str, missing))}; add it to docs/site/build.py")
    return found


def _title(path: Path) -> str:
    """The first heading of a page; the readme's is that of the whole site."""
    if path.name == "readme.md":
        return "Readme"
    first = next(line for line in path.read_text().splitlines() if line.startswith("# "))
    return first[2:].strip().strip("`").replace("`", "")


def _toml(value: str | list[Entry] | Entry) -> str:
    """Lists, texts and tables of one entry, as TOML on one line."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {_toml(v)}" for k, v in value.items()) + "}"
    return "[" + ", ".join(_toml(v) for v in value) + "]"
