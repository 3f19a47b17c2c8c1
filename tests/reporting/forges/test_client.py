"""The client of GitHub's REST API against a server that checks every request."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement
from edgekit.reporting.forges import Client, Token
from edgekit.reporting.forges.client import MOST_CHARACTERS, fitted
from tests.support.github_server import TOKEN, Fault, GitHub, github

REPOSITORY = "example/perception"


@pytest.fixture
def server() -> Iterator[GitHub]:
    with github() as state:
        yield state


class Pauses(list[float]):
    """Waits of a client that do not happen; its clock goes on by them."""

    def clock(self) -> float:
        return 1_000_000.0 + sum(self)


def client(server: GitHub, pauses: Pauses, patience_s: float = 900.0) -> Client:
    return Client(
        REPOSITORY, Token(TOKEN), server.address, patience_s=patience_s, pause=pauses.append, clock=pauses.clock
    )


def test_every_page_of_a_list(server: GitHub) -> None:
    server.page = 2
    for number in range(5):
        server.add_issue({"title": str(number)})
    found = client(server, Pauses()).pages("issues", state="open")
    assert [one["title"] for one in found] == ["0", "1", "2", "3", "4"]
    assert len(server.asked) == 3
    assert "per_page=100" in server.asked[0]


def test_the_token_does_not_follow_a_page_to_another_host(server: GitHub) -> None:
    with github() as other:
        link = {"Link": f'<{other.address}/repos/example/perception/issues?page=2>; rel="next"'}
        server.faults.append(Fault(200, headers=link, body="[]"))
        with pytest.raises(EnvironmentFault, match="next page on another host"):
            list(client(server, Pauses()).pages("issues"))
        assert other.asked == []


@pytest.mark.parametrize("status", [500, 502, 503, 504, 0])
def test_faults_of_the_server_are_tried_again(server: GitHub, status: int) -> None:
    server.add_issue({"title": "there"})
    server.faults += [Fault(status)] * 4
    pauses = Pauses()
    assert [one["title"] for one in client(server, pauses).pages("issues")] == ["there"]
    assert pauses == [1, 2, 4, 8]
    server.faults += [Fault(status)] * 5
    with pytest.raises(EnvironmentFault, match=r"GET /repos/example/perception/issues: http://127") as caught:
        list(client(server, Pauses()).pages("issues"))
    assert caught.value.exit_code == 3
    assert server.faults == []


def test_the_waits_of_rate_limits(server: GitHub) -> None:
    pauses = Pauses()
    later = formatdate(pauses.clock() + 7 + 90, usegmt=True)
    server.faults += [
        Fault(429, headers={"Retry-After": "7"}),
        Fault(403, headers={"Retry-After": later}),
        Fault(403, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(pauses.clock()) + 7 + 90 + 20)}),
        Fault(403, body=json.dumps({"message": "You have exceeded a secondary rate limit"})),
        Fault(503, headers={"Retry-After": "3"}),
    ]
    assert list(client(server, pauses).pages("issues")) == []
    assert pauses == [7, 90, 21, 60 * 2**3, 3]


def test_a_rate_limit_that_lasts_too_long(server: GitHub) -> None:
    pauses = Pauses()
    server.faults += [Fault(429, "POST", {"Retry-After": "40"})] * 3
    with pytest.raises(EnvironmentFault, match=r"asks to wait 40 s, longer than this run may") as caught:
        client(server, pauses, patience_s=100).create("issues", {"title": "x"}, lambda: None)
    assert pauses == [40, 40]
    assert caught.value.exit_code == 3
    assert server.issues == []


@pytest.mark.parametrize("status", [502, 0])
def test_an_issue_whose_answer_was_lost_is_not_made_twice(server: GitHub, status: int) -> None:
    server.faults += [Fault(status, "POST"), Fault(status, "POST", does=True)]
    pauses = Pauses()
    made = client(server, pauses).create("issues", {"title": "once"}, lambda: next(iter(server.issues), None))
    assert made["number"] == 1
    assert len(server.issues) == 1
    assert [one.partition(" ")[0] for one in server.asked] == ["POST", "POST"]
    assert pauses == [1, 2]


def test_five_lost_answers_are_enough(server: GitHub) -> None:
    server.faults += [Fault(500, "POST")] * 5
    with pytest.raises(EnvironmentFault, match="answered 500; try again later"):
        client(server, Pauses()).create("issues", {"title": "x"}, lambda: None)
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (401, MissingRequirement, r"was answered 401 \(Bad\).*permissions: \{issues: write"),
        (403, MissingRequirement, r"was answered 403 \(Bad\).*permissions: \{issues: write"),
        (404, InputError, r"was answered 404 \(Bad\); check the repository example/perception"),
        (301, InputError, r"the repository example/perception has moved"),
    ],
)
def test_what_github_refuses_is_not_tried_again(server: GitHub, status: int, kind: type, said: str) -> None:
    server.faults.append(Fault(status, headers={"Location": "/elsewhere"}, body='{"message": "Bad"}'))
    with pytest.raises(kind, match=said):
        list(client(server, Pauses()).pages("issues"))
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", ["<html>", "[]", "null", '{"message": "No", "errors": ["a", {"message": "b"}]}'])
def test_an_answer_of_any_form_becomes_one_line(server: GitHub, body: str) -> None:
    server.faults.append(Fault(404, body=body))
    with pytest.raises(InputError) as caught:
        list(client(server, Pauses()).pages("issues"))
    assert ("(No: a: b)" if "errors" in body else "(Not Found)") in str(caught.value)


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        pauses = Pauses()
        unheard = Client(REPOSITORY, Token(TOKEN), address, pause=pauses.append)
        with pytest.raises(EnvironmentFault, match=r"gave no answer: connection error; check the network"):
            list(unheard.pages("issues"))
    assert pauses == [1, 2, 4, 8]


def test_the_token_is_in_no_message_log_or_repr(server: GitHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = json.dumps({"message": f"who is Bearer {TOKEN}?"})
    server.faults += [Fault(404, body=echo), Fault(403, body=echo)]
    asking = client(server, Pauses())
    written = [repr(Token(TOKEN)), str(Token(TOKEN)), repr(asking), repr(vars(asking))]
    for _ in range(2):
        with pytest.raises((InputError, MissingRequirement)) as caught:
            list(asking.pages("issues"))
        written.append("".join(traceback.format_exception(caught.value)))
        assert "who is Bearer ***?" in written[-1]
    asking.create("issues", {"title": f"a log said {TOKEN}", "body": TOKEN}, lambda: None)
    assert server.issues[0]["title"] == "a log said ***"
    assert TOKEN not in "".join([*written, caplog.text, json.dumps(server.issues)])
    assert caplog.records


def test_netrc_does_not_take_the_tokens_place(
    server: GitHub, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("home") / "netrc"
    file.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(file))
    assert list(client(server, Pauses()).pages("issues")) == []  # the server wants a Bearer


@pytest.mark.parametrize("api", ["http://example.org", "ftp://127.0.0.1", "127.0.0.1"])
def test_the_token_goes_over_https_only(api: str) -> None:
    with pytest.raises(InputError, match="a token goes over https only"):
        Client(REPOSITORY, Token(TOKEN), api)


@pytest.mark.parametrize("name", ["perception", "a/b/c", "a/b?c", "", "../b", "a/..", "a/."])
def test_a_repository_has_an_owner_and_a_name(name: str) -> None:
    with pytest.raises(InputError, match="expected owner/name"):
        Client(name, Token(TOKEN))


def test_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", " "):
        monkeypatch.setenv("GITHUB_TOKEN", value)
        with pytest.raises(MissingRequirement, match="a token in GITHUB_TOKEN is not available"):
            Token.of_environment()
    monkeypatch.setenv("GITHUB_TOKEN", f"{TOKEN}\n")
    assert Token.of_environment().header == f"Bearer {TOKEN}"


def test_the_address_comes_from_the_workflow(server: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_API_URL", server.address + "/")
    assert list(Client(REPOSITORY, Token(TOKEN)).pages("issues")) == []


def test_a_body_is_cut_to_what_github_takes() -> None:
    assert fitted("short", " end") == "short end"
    long = fitted("x" * MOST_CHARACTERS, "end")
    assert len(long) == MOST_CHARACTERS
    assert long.endswith("(cut: the report has the rest)end")
