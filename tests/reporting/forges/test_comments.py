"""One comment of a pull request, changed from then on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgekit.core.errors import InputError
from edgekit.reporting.forges import Client, Token, put_comment
from tests.support.github_server import TOKEN, Fault, GitHub, github


@pytest.fixture
def server() -> Iterator[GitHub]:
    with github() as state:
        yield state


def asking(server: GitHub) -> Client:
    return Client("example/perception", Token(TOKEN), server.address, pause=lambda _: None)


def test_one_comment_a_topic(server: GitHub) -> None:
    server.page = 1
    server.add_comment(7, "a person's words", login="somebody")
    outcomes = [
        put_comment(asking(server), 7, topic, text).outcome
        for topic, text in [("cpu", "fail"), ("orin", "pass"), ("cpu", "fail\n"), ("cpu", "pass")]
    ]
    assert outcomes == ["created", "created", "unchanged", "changed"]
    assert [one["body"].partition("\n")[0] for one in server.comments] == ["a person's words", "pass", "pass"]
    assert put_comment(asking(server), 8, "cpu", "another pull request").outcome == "created"


def test_a_comment_of_somebody_else_is_left_alone(server: GitHub) -> None:
    forged = server.add_comment(7, "PASS\n\n<!-- edgekit-comment: cpu -->", login="somebody")
    made = put_comment(asking(server), 7, "cpu", "FAIL")
    assert made.outcome == "created"
    assert made.url != forged["html_url"]
    assert forged["body"].startswith("PASS")
    mine = put_comment(asking(server), 7, "cpu", "FAIL", author="somebody")
    assert (mine.outcome, mine.url) == ("changed", forged["html_url"])


def test_a_marker_within_the_text_is_no_marker(server: GitHub) -> None:
    put_comment(asking(server), 7, "cpu", "see <!-- edgekit-comment: orin -->")
    assert put_comment(asking(server), 7, "orin", "another").outcome == "created"


def test_a_lost_answer_makes_no_second_comment(server: GitHub) -> None:
    server.faults.append(Fault(502, "POST", does=True))
    assert put_comment(asking(server), 7, "cpu", "text").outcome == "created"
    assert len(server.comments) == 1


@pytest.mark.parametrize("topic", ["", "a b", "-->", "ä"])
def test_what_a_topic_is_made_of(server: GitHub, topic: str) -> None:
    with pytest.raises(InputError, match="expected letters, digits"):
        put_comment(asking(server), 7, topic, "text")
