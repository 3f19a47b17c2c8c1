"""One note of a merge request on GitLab, changed from then on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement
from edgekit.reporting.forges import GITLAB, Client, Token, put_note
from tests.support.github_server import Fault
from tests.support.gitlab_server import TOKEN, GitLab, gitlab

PROJECT = "example/vision/perception"


@pytest.fixture
def server() -> Iterator[GitLab]:
    with gitlab() as state:
        yield state


def asking(server: GitLab, project: str = PROJECT) -> Client:
    return Client(project, Token(TOKEN), server.api, forge=GITLAB, pause=lambda _: None)


def test_one_note_a_topic(server: GitLab) -> None:
    server.page = 1
    server.add_note(7, "a person's words", author=1)
    made = [
        put_note(asking(server), 7, topic, text)
        for topic, text in [("cpu", "fail"), ("orin", "pass"), ("cpu", "fail\n"), ("cpu", "pass")]
    ]
    assert [one.outcome for one in made] == ["created", "created", "unchanged", "changed"]
    assert made[0].url == made[3].url == "https://gitlab.example/p/-/merge_requests/7#note_301"
    assert [one["body"].partition("\n")[0] for one in server.notes] == ["pass", "pass", "a person's words"]
    assert put_note(asking(server), 8, "cpu", "another merge request").outcome == "created"
    assert all("/projects/example%2Fvision%2Fperception/" in one for one in server.asked if not one.endswith("/user"))


def test_a_project_may_be_a_number(server: GitLab) -> None:
    assert put_note(asking(server, "17"), 7, "cpu", "text").outcome == "created"
    with pytest.raises(InputError, match="expected a number, or group/name"):
        asking(server, "perception")


def test_notes_of_others_and_of_gitlab_itself_are_left_alone(server: GitLab) -> None:
    marked = "PASS\n\n<!-- edgekit-comment: cpu -->"
    forged, own = server.add_note(7, marked, author=1), server.add_note(7, marked, system=True)
    assert put_note(asking(server), 7, "cpu", "FAIL").outcome == "created"
    assert forged["body"] == own["body"] == marked


def test_a_line_is_no_command_to_gitlab(server: GitLab) -> None:
    put_note(asking(server), 7, "cpu", "fail\n/merge\n  /approve\n| a/b |")
    assert server.notes[0]["body"].splitlines()[:4] == ["fail", "\\/merge", "  \\/approve", "| a/b |"]
    assert put_note(asking(server), 7, "cpu", "fail\n/merge\n  /approve\n| a/b |").outcome == "unchanged"


def test_a_lost_answer_makes_no_second_note(server: GitLab) -> None:
    server.faults += [Fault(502, "POST", does=True), Fault(503, "PUT")]
    assert put_note(asking(server), 7, "cpu", "text").outcome == "created"
    assert put_note(asking(server), 7, "cpu", "another").outcome == "changed"
    assert len(server.notes) == 1


def test_the_rate_limit_of_gitlab(server: GitLab) -> None:
    server.faults.append(Fault(429, headers={"RateLimit-Remaining": "0", "RateLimit-Reset": "1000090"}))
    waits: list[float] = []
    client = Client("17", Token(TOKEN), server.api, forge=GITLAB, pause=waits.append, clock=lambda: 1_000_000.0)
    assert put_note(client, 7, "cpu", "text").outcome == "created"
    assert waits == [91]
    server.faults.append(Fault(429, headers={"Retry-After": "4000"}))
    with pytest.raises(EnvironmentFault, match="GitLab's rate limit asks to wait 4000 s"):
        put_note(asking(server), 7, "cpu", "text")


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_not(server: GitLab, status: int) -> None:
    server.faults.append(Fault(status, body=f'{{"message": "{status} {TOKEN}"}}'))
    with pytest.raises(MissingRequirement, match="the scope api and the role Reporter") as caught:
        put_note(asking(server), 7, "cpu", "text")
    assert TOKEN not in str(caught.value)


def test_the_token_goes_over_https_only() -> None:
    with pytest.raises(InputError, match=r"CI_API_V4_URL 'http://gitlab\.example/api/v4'"):
        Client("17", Token(TOKEN), "http://gitlab.example/api/v4", forge=GITLAB)
