"""``edgekit comment``: one comment of a pull request on GitHub, kept up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import JsonOption, print_json, single

FileArgument = Annotated[Path, typer.Argument(help="Markdown, such as edgekit gate --markdown wrote.")]
NumberOption = Annotated[int, typer.Option(help="Of the pull request or issue.", min=1)]
RepoOption = Annotated[
    str, typer.Option("--repo", envvar="GITHUB_REPOSITORY", help="owner/name; default: GITHUB_REPOSITORY.")
]
TopicOption = Annotated[str, typer.Option(help="One comment a topic: give every job its own, such as its target.")]
AuthorOption = Annotated[str, typer.Option(help="Whose token it is: only this login's comments are changed.")]


def comment(
    file: FileArgument,
    number: NumberOption,
    repo: RepoOption,
    topic: TopicOption = "gate",
    author: AuthorOption = "github-actions[bot]",
    as_json: JsonOption = False,
) -> None:
    """Write a Markdown file as a comment into a pull request on GitHub; the next call changes that comment.

    The token comes from GITHUB_TOKEN and may write pull requests; GITHUB_API_URL names another server.
    """
    from edgekit.core.errors import InputError, os_reason
    from edgekit.core.textfile import read_text
    from edgekit.reporting.github import Client, Token, put_comment

    try:
        text = read_text(file)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read: {os_reason(error)}; write it with: edgekit gate --markdown"
        ) from error
    made = put_comment(Client(repo, Token.of_environment()), number, topic, text, author)
    if as_json:
        print_json({"url": made.url, "outcome": made.outcome})
    else:
        print(f"{made.outcome} {made.url}")


command = single(comment)
