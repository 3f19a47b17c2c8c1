"""labgrid environment files: what a board is, how it is reached, powered and locked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labgrid import Environment as LabgridEnvironment
from labgrid.binding import BindingError
from labgrid.exceptions import InvalidConfigError, NoConfigFoundError, NoDriverFoundError, NoResourceFoundError

from edgekit.core.errors import EnvironmentFault, InputError
from edgekit_hil.strategies.board import BoardStrategy  # importing it registers the drivers

SHIPPED = Path(__file__).parents[2] / "env"
ROLE = "main"


def find(name: Path) -> Path:
    """The environment file: as named, or one that edgekit-hil brings.

    Raises:
        InputError: there is none.
    """
    for path in (name, SHIPPED / name.name, Path(__file__).parent / "env" / name.name):
        if path.is_file():
            return path
    from edgekit.core.suggest import allowed

    known = sorted(path.name for path in (*SHIPPED.glob("*.yaml"), *(Path(__file__).parent / "env").glob("*.yaml")))
    raise InputError(f"--env {name}: no such file; {allowed(name.name, tuple(dict.fromkeys(known)))}")


def open_target(path: Path, coordinator: str | None = None) -> BoardStrategy:
    """The strategy of the board of an environment file; nothing is asked of the board.

    Raises:
        InputError: the file is no environment, or lacks a driver that the strategy needs.
    """
    try:
        environment = LabgridEnvironment(str(path))
        if coordinator is not None:
            environment.config.set_option("coordinator_address", coordinator)
        _numbers(environment.config.get_targets())
        target = environment.get_target(ROLE)
        if target is None:
            raise InputError(f"{path}: no target named {ROLE}; labgrid's environments have targets: {ROLE}: ...")
        strategy: BoardStrategy = target.get_driver("BoardStrategy", activate=False)
    except (InvalidConfigError, NoConfigFoundError, BindingError, NoDriverFoundError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no environment of a board: {error}; compare hil/env/loopback.yaml") from error
    except NoResourceFoundError as error:
        raise EnvironmentFault(f"{path}: the place has no such resource: {error}; is its exporter running?") from error
    return strategy


def _numbers(section: Any) -> None:
    """Make the port that came from a variable (``!template``) a number: labgrid fills in text only."""
    for key, value in section.items() if isinstance(section, dict) else enumerate(section):
        if key == "port" and isinstance(value, str) and value.isdecimal():
            section[key] = int(value)
        elif isinstance(value, dict | list):
            _numbers(value)
