"""``plan.yaml``: which bundles a night runs on which boards, and when the fleet counts as good."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from edgekit.core.errors import InputError
from edgekit.core.spec import NAME, Section, SpecPath
from edgekit.core.specfile import read_model
from edgekit.core.suggest import allowed
from edgekit_hil.options import KEEP

AaPolicy = Literal["when-red", "always", "never"]


def _there(path: Path) -> Path:
    if not path.exists():
        raise ValueError(_absent(path))
    return path


def _environment(path: Path) -> Path:
    from edgekit_hil.environment import find

    try:
        return find(path)
    except InputError as error:
        raise ValueError(_absent(path)) from error


def _absent(path: Path) -> str:
    return f"no such file or folder: {path}; correct the path, or make it first"


Existing = Annotated[SpecPath, AfterValidator(_there)]
"""A path, relative to the plan's folder, of what is there."""
Environment = Annotated[SpecPath, AfterValidator(_environment)]
"""The same of an environment file, or the name of one that comes along."""


def _misfit(message: str, *at: str) -> PydanticCustomError:
    """A mistake between sections, with the place to point at."""
    return PydanticCustomError("misfit", "{text}", {"text": message, "at": at})


class BoardPlan(Section):
    """One board of the fleet."""

    environment: Environment = Field(
        description="labgrid environment file, or the name of one that comes along, as `edgekit hil run --env` takes it"
    )
    place: str = Field("", description="place at labgrid's coordinator; default: the environment's own target")
    must_pass: bool = Field(False, description="the night is red when this board does not pass; others count by share")
    labels: dict[str, str] = Field(
        default_factory=dict, description="words for people and for CI, such as the runner's label; shown on the page"
    )


class BundlePlan(Section):
    """One bundle, or the bundles of one model for boards of several kinds.

    ``path`` and ``between`` are one path for every board, or a mapping of boards to paths; a board that the mapping of
    ``path`` leaves out does not run the bundle.
    """

    path: SpecPath | dict[str, SpecPath] = Field(description="the bundle to judge: one path, or a path for each board")
    between: SpecPath | dict[str, SpecPath] | None = Field(
        None, description="folder of the bundles built since, in the order of their names: what a bisection searches"
    )
    data: Existing | None = Field(
        None, description="where the evaluation data are on this machine; default: the plan's"
    )
    bag: Existing | None = Field(None, description="bag that the ROS 2 node gets replayed; default: the plan's")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, given: Any) -> Any:
        return {"path": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _there(self) -> BundlePlan:
        if self.path == {}:
            raise _misfit("expected a path for one board or more", "path")
        for key, given in (("path", self.path), ("between", self.between)):
            for board, path in given.items() if isinstance(given, dict) else (("", given),):
                if path is not None and not path.exists():
                    raise _misfit(_absent(path), *filter(None, (key, board)))
        return self

    def on(self, board: str) -> Path | None:
        """The bundle for a board; None: it does not run there."""
        return self.path.get(board) if isinstance(self.path, dict) else self.path

    def candidates_on(self, board: str) -> Path | None:
        """The folder that is searched for a board."""
        return self.between.get(board) if isinstance(self.between, dict) else self.between


class Plan(Section):
    """The whole file."""

    boards: dict[str, BoardPlan] = Field(min_length=1, description="boards by name")
    bundles: dict[str, BundlePlan] = Field(min_length=1, description="bundles by name: a path, or a mapping")
    rest_pass_share: float = Field(
        1.0, ge=0, le=1, description="share of the boards without must_pass that has to pass each bundle"
    )
    data: Existing | None = Field(None, description="where the evaluation data are on this machine")
    bag: Existing | None = Field(None, description="bag that the ROS 2 node gets replayed; none: that step is left out")
    queries: int | None = Field(None, ge=1, description="timed queries of each engine; default: the gate's own")
    soak_minutes: float = Field(0, ge=0, description="how long each bundle runs on after it was measured")
    aa: AaPolicy = Field(
        "when-red",
        description="when a bundle runs against itself to tell a flaky board from a bad model: after a run that did "
        "not pass, after every run, or never",
    )
    parallel: int | None = Field(None, ge=1, description="boards at a time; default: all")
    timeout_minutes: float = Field(240, gt=0, description="after which one run is ended, and its board reported")
    bisect: bool = Field(True, description="search the bundles since last-good for the first bad one")
    keep: int = Field(
        KEEP,
        ge=1,
        description="bundles that stay in out, those that were judged last, beside those that a last-good or a search "
        "may need; and bundles that stay on each board",
    )
    history: str | None = Field(None, description="file or MLflow server of the runs; default: history.db in out")
    out: SpecPath = Field(default=Path("nights"), validate_default=True, description="folder of the nights")
    owner: str = Field("edgekit-night", min_length=1, description="who holds the boards' leases")

    @field_validator("boards", "bundles")
    @classmethod
    def _named(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in given:
            if not re.fullmatch(NAME, name):
                raise _misfit("expected a name of letters, digits, '.', '_' and '-', such as orin-agx-1", name)
        return given

    @field_validator("history")
    @classmethod
    def _beside_the_plan(cls, given: str | None, info: ValidationInfo) -> str | None:
        base = (info.context or {}).get("base")
        return given if given is None or base is None or "://" in given else str(Path(base) / given)

    @model_validator(mode="after")
    def _fits(self) -> Plan:
        for name, bundle in self.bundles.items():
            for key, paths in (("path", bundle.path), ("between", bundle.between)):
                for board in paths if isinstance(paths, dict) else ():
                    if board not in self.boards:
                        known = allowed(board, tuple(self.boards))
                        raise _misfit(f"no board {board!r}; {known}", "bundles", name, key, board)
        idle = [board for board in self.boards if not any(b.on(board) is not None for b in self.bundles.values())]
        if idle:
            raise _misfit("no bundle runs on it; add it to a path of bundles, or leave it out", "boards", idle[0])
        return self

    @property
    def book(self) -> str:
        """Where the runs are recorded: a file's path, or a server's address."""
        return self.history or str(self.out / "history.db")


@dataclass(frozen=True)
class Task:
    """One bundle on one board: ``candidates`` is the folder that a bisection searches."""

    board: str
    bundle: str
    environment: Path
    place: str
    must_pass: bool
    path: Path
    candidates: Path | None
    data: Path | None
    bag: Path | None


def tasks(plan: Plan) -> Iterator[Task]:
    """Every bundle on every board that it runs on, board by board."""
    for name, board in plan.boards.items():
        for key, bundle in plan.bundles.items():
            path = bundle.on(name)
            if path is not None:
                yield Task(
                    name, key, board.environment, board.place, board.must_pass, path, bundle.candidates_on(name),
                    bundle.data or plan.data, bundle.bag or plan.bag,
                )  # fmt: skip


def read_plan(path: Path) -> Plan:
    """The checked plan; relative paths are taken from its folder, ``$NAME`` and ``${NAME:-default}`` expand.

    Raises:
        SpecError: it has mistakes, or a file or folder that it names is not there; all are listed.
    """
    return read_model(path, Plan)
