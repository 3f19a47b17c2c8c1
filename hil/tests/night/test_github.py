"""Issues of regressions on a server that checks every request against GitHub's description."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgekit.core.errors import InputError, MissingRequirement
from edgekit.reporting.forges import Client, Token
from edgekit_hil.night.github import LABEL, Issue, Synced, Tracker
from tests.support.github_server import TOKEN, Fault, GitHub, github

SLOW = Issue(
    "orin: latency_p99_ms +10 %", "| KPI | value |\n|---|---|\n| latency_p99_ms | 36.1 |", "orin/seg-orin/latency"
)
NIGHT = Issue("orin: miou at night", "mIoU fell by 0.04", "orin/seg-orin/miou/light=night --> [x] ä")


@pytest.fixture
def server() -> Iterator[GitHub]:
    with github() as state:
        yield state


def tracker(server: GitHub, pauses: list[float] | None = None) -> Tracker:
    waits = [] if pauses is None else pauses
    return Tracker(Client("example/perception", Token(TOKEN), server.address, pause=waits.append))


def test_opened_once_updated_while_it_lasts_closed_when_green(server: GitHub) -> None:
    assert tracker(server).sync([SLOW, NIGHT]) == Synced(opened=(1, 2))
    assert [one["labels"] for one in server.issues] == [[{"name": LABEL}]] * 2
    assert server.open()[SLOW.title].startswith(SLOW.body)
    assert tracker(server).sync([NIGHT, SLOW]) == Synced()
    worse = Issue("orin: latency_p99_ms +15 %", "worse", SLOW.key)
    assert tracker(server).sync([worse, NIGHT]) == Synced(updated=(1,))
    assert server.open()[worse.title].startswith("worse")
    assert tracker(server).sync([NIGHT]) == Synced(closed=(1,))
    assert (server.issues[0]["state"], server.issues[0]["state_reason"]) == ("closed", "completed")
    assert [(one["issue"], one["body"][:12]) for one in server.comments] == [(1, "Green again:")]
    assert tracker(server).sync([SLOW, NIGHT]) == Synced(opened=(3,))
    assert tracker(server).sync([]) == Synced(closed=(2, 3))
    assert server.open() == {}


def test_what_is_not_green_stays_open(server: GitHub) -> None:
    both = Issue("seg: miou", "on two boards", "seg/miou", ("orin 1/seg", "nx/seg"))
    tracker(server).sync([both, SLOW])
    assert tracker(server).sync([SLOW], green={"nx/seg"}) == Synced()
    assert tracker(server).sync([], green={"orin 1/seg"}) == Synced(closed=(2,))
    assert tracker(server).sync([], green={"nx/seg", "orin 1/seg", "more/seg"}) == Synced(closed=(1,))


def test_other_issues_are_left_alone(server: GitHub) -> None:
    server.add_issue({"title": "a person's", "body": "no key", "labels": [LABEL]})
    server.add_issue({"title": "no label", "body": "<!-- edgekit-regression: a/b/c -->"})
    pull = server.add_issue({"title": "pull", "body": "<!-- edgekit-regression: d/e/f -->", "labels": [LABEL]})
    pull["pull_request"] = {}
    server.add_issue({"title": "empty", "labels": [LABEL]})
    assert tracker(server).sync([]) == Synced()
    assert len(server.open()) == 4


def test_two_issues_of_one_key_become_one(server: GitHub) -> None:
    tracker(server).sync([SLOW])
    server.add_issue({**{k: server.issues[0][k] for k in ("title", "body")}, "labels": [LABEL]})
    assert tracker(server).sync([SLOW]) == Synced(closed=(2,))
    assert server.issues[1]["state_reason"] == "not_planned"
    assert server.comments[0]["body"].endswith("#1.")


def test_more_issues_than_a_page_holds(server: GitHub) -> None:
    server.page = 2
    many = [Issue(f"t{n}", "b", f"board/bundle/kpi{n}") for n in range(5)]
    assert len(tracker(server).sync(many).opened) == 5
    assert tracker(server).sync(many) == Synced()


@pytest.mark.parametrize("does", [True, False])
def test_a_lost_answer_opens_no_second_issue(server: GitHub, does: bool) -> None:
    server.faults += [Fault(502, "POST", does=does), Fault(503, "GET")]
    pauses: list[float] = []
    assert tracker(server, pauses).sync([SLOW]) == Synced(opened=(1,))
    assert len(server.issues) == 1
    assert sum(pauses) <= 4


def test_a_key_that_is_there_twice(server: GitHub) -> None:
    with pytest.raises(InputError, match=f"regression '{SLOW.key}' is there twice"):
        tracker(server).sync([SLOW, NIGHT, SLOW])
    assert server.asked == []


def test_a_token_that_may_not_set_labels(server: GitHub) -> None:
    server.may_label = False
    with pytest.raises(MissingRequirement, match=r"may set the label edgekit-regression .*issue 1 has none"):
        tracker(server).sync([SLOW])


def test_long_texts_are_cut(server: GitHub) -> None:
    long = Issue("t" * 300, "b" * 70_000, "a/b/c")
    tracker(server).sync([long])
    assert tracker(server).sync([long]) == Synced()
