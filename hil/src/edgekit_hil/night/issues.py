"""``edgekit hil issues``: the regressions of a night's document, as issues on GitHub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgekit.cli.console import JsonOption, print_json
from edgekit.core.errors import InputError, os_reason
from edgekit.core.mistakes import words
from edgekit.core.textfile import read_text
from edgekit_hil.night.github import Issue, Synced, Tracker

NightArgument = Annotated[Path, typer.Argument(help="The night.json that edgekit hil night wrote.")]
RepoOption = Annotated[
    str, typer.Option("--repo", envvar="GITHUB_REPOSITORY", help="owner/name; default: GITHUB_REPOSITORY.")
]
_DECIDED = ("pass", "fail")
_SAYS_NOTHING_ELSE = ConfigDict(extra="ignore")  # the night's document holds much more


class _Regression(BaseModel):
    model_config = _SAYS_NOTHING_ELSE

    key: str = Field(description="The same from night to night.")
    bundle: str = Field(description="Name of the bundle in the plan.")
    boards: tuple[str, ...] = Field(description="Where it regressed.")
    title: str = Field(description="Of the issue.")
    issue: str = Field(description="Text of the issue, Markdown.")


class _Result(BaseModel):
    model_config = _SAYS_NOTHING_ELSE

    board: str = Field(description="Name of the board.")
    bundle: str = Field(description="Name of the bundle in the plan.")
    standing: str = Field(description="pass, fail, or that nothing is known.")


class _Night(BaseModel):
    model_config = _SAYS_NOTHING_ELSE

    night: str = Field(description="Which night it was.")
    results: tuple[_Result, ...] = Field(description="One a board and bundle.")
    regressions: tuple[_Regression, ...] = Field(description="What held before and does not now.")


def issues(night: NightArgument, repo: RepoOption, as_json: JsonOption = False) -> None:
    """Open one issue for each regression of a night, keep it up to date, close it when the KPI holds again.

    The token comes from GITHUB_TOKEN and may write issues; GITHUB_API_URL names another server. Issues of boards that
    this night could not judge stay as they are.
    """
    from edgekit.reporting.github import Client, Token

    document = _read(night)
    found = [
        Issue(one.title, one.issue, one.key, tuple(f"{board}/{one.bundle}" for board in one.boards))
        for one in document.regressions
    ]
    judged = {f"{one.board}/{one.bundle}" for one in document.results if one.standing in _DECIDED}
    synced = Tracker(Client(repo, Token.of_environment())).sync(found, judged)
    if as_json:
        print_json({"opened": synced.opened, "updated": synced.updated, "closed": synced.closed})
    else:
        print(f"{document.night}: {_said(synced)}")


def _read(path: Path) -> _Night:
    """The part of a night's document that issues are made of.

    Raises:
        InputError: there is no such file, or it is none of a night.
    """
    try:
        return _Night.model_validate_json(read_text(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; write it with: edgekit hil night PLAN") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {os_reason(error)}") from error
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        what = f"{'.'.join(map(str, first['loc']))}: {words(first)}" if first else "no text"
        raise InputError(f"{path}: no document of edgekit hil night ({what})") from error


def _said(synced: Synced) -> str:
    parts = [
        f"{what} {', '.join(f'#{number}' for number in numbers)}"
        for what, numbers in (("opened", synced.opened), ("updated", synced.updated), ("closed", synced.closed))
        if numbers
    ]
    return "; ".join(parts) or "no issue to change"
