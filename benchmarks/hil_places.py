"""Runs queue for the places of a real labgrid coordinator, which is killed and restarted in the middle: none is lost.

python benchmarks/hil_places.py [--runs 50] [--places 2] [--seconds 1] [--kill-after 20] [--out results.json]

Each run queues for any place with a tag, takes the lease of its board, measures for a second, and gives both back.
After KILL_AFTER runs the coordinator gets SIGKILL, and is started again two seconds later.  The boards are folders
with the very lease that boards have.  Two on one board would show in the lease's log (taken twice in a row) and in a
file that each run makes for itself while it measures.  With --out, runs that the file knows as finished are not
repeated.  Prints JSON; exit code 1 when a run was lost, two were on one board, or something was not given back.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from hil.tests.support.lab import Lab, lab  # noqa: E402

from edgekit.core.artifacts import write_json  # noqa: E402
from edgekit.core.errors import EnvironmentFault  # noqa: E402
from edgekit_hil.onboard import lease  # noqa: E402
from edgekit_hil.places import held  # noqa: E402

TAGS = {"kind": "bench"}
LEASE_S = 30.0
AWAY_S = 2.0
PATIENCE_S = 1800.0


@dataclass
class Outcome:
    """One run: where it was, how long it queued, how often another still had its board, how often its hold was lost."""

    name: str
    place: str = ""
    waited_s: float = 0.0
    refused: int = 0
    lost: int = 0
    together: bool = False
    failed: str = ""


@dataclass
class Bench:
    """The boards, and what became of the runs so far."""

    folder: Path
    running: Lab
    seconds: float
    done: list[Outcome] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def board(self, place: str) -> Path:
        return self.folder / "boards" / place

    def run(self, name: str) -> Outcome:
        """One run, from the queue to the board given back."""
        outcome = Outcome(name)
        begin = time.monotonic()
        try:
            with held(tags=TAGS, owner=name, timeout=PATIENCE_S, coordinator=self.running.address) as hold:
                outcome.place, outcome.waited_s = hold.place, round(time.monotonic() - begin, 2)
                self._measure(name, outcome)
                outcome.lost = sum(event.said == "lost" for event in hold.events)
        except EnvironmentFault as error:
            outcome.failed = str(error)
        with self._lock:
            self.done.append(outcome)
        return outcome

    def _measure(self, name: str, outcome: Outcome) -> None:
        board, token = self.board(outcome.place), uuid.uuid4().hex
        while not lease.take(board, name, name, token, LEASE_S)["held"]:
            # The coordinator forgot who has it; the board did not.
            outcome.refused += 1
            time.sleep(0.2)
        alone = board / "measuring"
        try:
            alone.touch(exist_ok=False)
        except FileExistsError:
            outcome.together = True
        time.sleep(self.seconds)
        if not outcome.together:
            alone.unlink()
        lease.release(board, token)


def log_faults(path: Path) -> list[str]:
    """Where a lease was taken while it was held, or given back by another: empty when there was never more than one."""
    holder, faults = None, []
    for line in path.read_text("utf-8").splitlines():
        entry = json.loads(line)
        if entry["event"] == "taken":
            if holder is not None:
                faults.append(f"{entry['run']} took the board of {holder}")
            holder = entry["run"]
        elif entry["event"] == "released":
            if holder != entry["run"]:
                faults.append(f"{entry['run']} gave back the board of {holder}")
            holder = None
    return faults if holder is None else [*faults, f"{holder} never gave the board back"]


def bench(arguments: argparse.Namespace, names: list[str], folder: Path) -> dict[str, Any]:
    """All runs at once; the coordinator is killed once."""
    places = {f"board-{number}": TAGS for number in range(arguments.places)}
    begin = time.monotonic()
    with lab(folder / "lab", places) as running:
        made = Bench(folder, running, arguments.seconds)
        for place in places:
            made.board(place).mkdir(parents=True)
        with ThreadPoolExecutor(len(names)) as pool:
            futures = [pool.submit(made.run, name) for name in names]
            kill_after = min(arguments.kill_after, max(0, len(names) - 2))
            while len(made.done) < kill_after:
                time.sleep(0.05)
            killed_s = time.monotonic() - begin
            running.kill()
            time.sleep(AWAY_S)
            running.start()
            outcomes = [future.result() for future in futures]
        held_still = {place: who for place, who in running.holders().items() if who}
        reserved_still = len(running.reservations())
        faults = [fault for place in places for fault in log_faults(made.board(place) / lease.LOG)]
    return {
        "outcomes": [asdict(outcome) for outcome in outcomes],
        "wall_s": round(time.monotonic() - begin, 1),
        "killed_after_s": round(killed_s, 1),
        "still_held": held_still,
        "still_reserved": reserved_still,
        "lease_log_faults": faults,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--places", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--kill-after", type=int, default=20)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    wanted = [f"run-{number:03}" for number in range(arguments.runs)]
    before: list[dict[str, Any]] = []
    if arguments.out is not None and arguments.out.exists():
        before = [one for one in json.loads(arguments.out.read_text("utf-8"))["outcomes"] if not one["failed"]]
    left = [name for name in wanted if name not in {one["name"] for one in before}]
    if not left:
        print(arguments.out.read_text("utf-8"))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        document = bench(arguments, left, Path(folder))
    document["outcomes"] = sorted([*before, *document["outcomes"]], key=lambda one: one["name"])
    outcomes = document["outcomes"]
    finished = [one for one in outcomes if not one["failed"]]
    document |= {
        "runs": arguments.runs,
        "finished": len(finished),
        "two_on_one_board": sum(one["together"] for one in outcomes) + len(document["lease_log_faults"]),
        "runs_whose_hold_was_lost": sum(one["lost"] > 0 for one in outcomes),
        "runs_that_the_lease_kept_waiting": sum(one["refused"] > 0 for one in outcomes),
        "by_place": {
            place: sum(one["place"] == place for one in finished) for place in sorted({o["place"] for o in finished})
        },
        "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
    }
    text = json.dumps(document, indent=1)
    if arguments.out is not None:
        write_json(arguments.out, document)
    print(text)
    bad = document["two_on_one_board"] or document["still_held"] or document["still_reserved"]
    return 1 if bad or len(finished) < arguments.runs else 0


if __name__ == "__main__":
    sys.exit(main())
