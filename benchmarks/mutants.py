"""Mutation test: small changes to the code that decides verdicts and keys, each against its room's tests.

python benchmarks/mutants.py run --draw 600      # resumes; stop it whenever you like
python benchmarks/mutants.py report --json benchmarks/results/mutants.json

The code under test is that of a commit, unpacked in ``.mutants/tree-0`` and so on, one a worker: the checkout stays as
it is.  ``.mutants`` also holds Cosmic Ray's session (``session.sqlite``, which its own ``cr-html`` and ``cr-report``
read) and what the tests of each room take and run on unchanged code.  A mutant is asked of the tests of its room that
ran the changed lines.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks import mutant_places, mutant_tests  # noqa: E402

if TYPE_CHECKING:
    from cosmic_ray.work_db import WorkDB
    from cosmic_ray.work_item import WorkItem, WorkResult

WORK = ROOT / ".mutants"
TREE, SESSION, COMMIT, TRACES = WORK / "tree-0", WORK / "session.sqlite", WORK / "commit", WORK / "traces"
LOCK = ROOT / ".mutants.lock"
PLAN = ROOT / "benchmarks" / "mutants.yaml"
CONFIDENCE_Z = 1.959964  # 95 %
# More than the tests take on unchanged code: other work may start beside them.
PATIENCE, GRACE_S = 5, 120


@dataclass(frozen=True)
class Room:
    """Files that are changed, and the folders or files of tests that are asked, relative to the root."""

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    seed: int
    draw: int
    test_timeout_s: int
    rooms: tuple[Room, ...]


def read_plan(path: Path, root: Path) -> Plan:
    """The plan, with the files that are in ``root`` now; a file that two rooms name belongs to the first."""
    told = YAML(typ="safe").load(path)
    taken: set[str] = set()
    rooms = []
    for name, room in told["rooms"].items():
        found = sorted({str(file.relative_to(root)) for glob in room["files"] for file in root.glob(glob)} - taken)
        taken.update(found)
        rooms.append(Room(name, tuple(found), tuple(room["tests"])))
    return Plan(told["seed"], told["draw"], told["test_timeout_s"], tuple(rooms))


# --- the draw --------------------------------------------------------------------------------------------------------


def name_of(item: WorkItem) -> str:
    """What a mutant is, the same in every session over the same code."""
    (m,) = item.mutations
    return f"{m.module_path} {m.operator_name} {sorted(m.operator_args.items())} {m.occurrence}"


def order(rooms: Mapping[str, Sequence[WorkItem]], seed: int) -> list[tuple[str, WorkItem]]:
    """All mutants, each with its room, in an order of which every beginning is a draw in proportion to the rooms.

    Within a room the order is that of a hash, so a larger draw contains a smaller one.
    """
    placed = []
    for room, items in rooms.items():
        drawn = sorted(items, key=lambda item: hashlib.sha256(f"{seed} {name_of(item)}".encode()).digest())
        placed += [((rank + 0.5) / len(drawn), room, item) for rank, item in enumerate(drawn)]
    return [(room, item) for _, room, item in sorted(placed, key=lambda one: one[:2])]


def drawn_from(db: WorkDB, plan: Plan) -> list[tuple[str, WorkItem]]:
    """Every mutant of the session that changes what runs, in the order of the draw."""
    room_of = {file: room.name for room in plan.rooms for file in room.files}
    sources = {file: (TREE / file).read_text("utf-8") for file in room_of}
    rooms: dict[str, list[WorkItem]] = {room.name: [] for room in plan.rooms}
    for item in db.work_items:
        file = str(item.mutations[0].module_path)
        if mutant_places.counts(item.mutations[0], sources[file]):
            rooms[room_of[file]].append(item)
    return order(rooms, plan.seed)


# --- the run ---------------------------------------------------------------------------------------------------------


def unpack(fresh: bool, workers: int) -> list[Path]:
    """The code of the session's commit in a tree a worker, with no mutant that a killed run left there.

    Raises:
        SystemExit: there is something to commit first.
    """
    if fresh:
        shutil.rmtree(WORK, ignore_errors=True)
    if not COMMIT.exists():
        changed = _git("status", "--porcelain", "--untracked-files=no")
        if changed:
            sys.exit(f"mutants are those of a commit; commit these first:\n{changed}")
        WORK.mkdir(parents=True, exist_ok=True)
        COMMIT.write_text(_git("rev-parse", "HEAD"))
    trees = [WORK / f"tree-{number}" for number in range(workers)]
    for tree in trees:
        tree.mkdir(exist_ok=True)
        archive = subprocess.Popen(["git", "-C", ROOT, "archive", COMMIT.read_text()], stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "-C", tree], stdin=archive.stdout, check=True)
        if archive.wait() != 0:
            sys.exit(f"commit {COMMIT.read_text()} is gone: `make mutants FRESH=1` begins anew")
        # Nothing that a mutant runs may write bytecode; what is written here is of files as old as the commit.
        subprocess.run([sys.executable, "-m", "compileall", "-q", tree / "src"], check=True)
    return trees


def _git(*words: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *words], check=True, capture_output=True, text=True).stdout.strip()


def command(plan: Plan, tree: Path, tests: Sequence[str]) -> str:
    """The tests, in this order, in a tree, until one fails."""
    place = ["env", "-C", str(tree), f"PYTHONPATH={tree / 'src'}"]
    options = ["-x", *mutant_tests.QUIET, f"--timeout={plan.test_timeout_s}"]
    return shlex.join([*place, sys.executable, "-m", "pytest", *options, *tests])


def traced(room: Room) -> mutant_tests.Trace:
    """What the room's tests take and run on unchanged code, measured once a session."""
    file = TRACES / f"{room.name}.json"
    found = mutant_tests.kept(file)
    if found is None:
        print(f"{room.name}: its tests on unchanged code", flush=True)
        found = mutant_tests.trace(TREE, room.tests, room.files, TRACES / room.name)
        mutant_tests.keep(file, found)
    return found


@dataclass(frozen=True)
class Trial:
    """A mutant, the tests that are asked in their order, and the seconds after which it hangs."""

    item: WorkItem
    tests: Sequence[str]
    limit_s: float


def prepared(item: WorkItem, known: mutant_tests.Trace) -> Trial:
    """Which tests a mutant is asked."""
    (mutation,) = item.mutations
    lines = mutant_places.lines_of((TREE / mutation.module_path).read_text("utf-8"), mutation.start_pos[0])
    texts = {test: (TREE / test).read_text("utf-8") for test in {one.partition("::")[0] for one in known.seconds}}
    tests = known.chosen(str(mutation.module_path), lines, texts)
    return Trial(item, tests, PATIENCE * sum(known.seconds[test] for test in tests) + GRACE_S)


def tried(trial: Trial, plan: Plan, trees: SimpleQueue[Path]) -> tuple[Trial, WorkResult]:
    """The mutant in a tree that nobody else uses, and what its tests say."""
    import attrs
    from cosmic_ray.mutating import mutate_and_test

    tree = trees.get()
    try:
        there = [attrs.evolve(one, module_path=tree / one.module_path) for one in trial.item.mutations]
        return trial, mutate_and_test(there, command(plan, tree, trial.tests), trial.limit_s)
    finally:
        trees.put(tree)


def session(plan: Plan) -> None:
    """A session with every mutant of the plan's files, made once."""
    import cosmic_ray.commands.init
    from cosmic_ray.work_db import use_db

    if SESSION.exists():
        return
    with use_db(WORK / "new.sqlite") as db:
        cosmic_ray.commands.init([Path(file) for room in plan.rooms for file in room.files], db, {})
    (WORK / "new.sqlite").replace(SESSION)


def run(draw: int | None, rooms: Sequence[str], minutes: float, fresh: bool, workers: int) -> None:
    """Ask the tests of every drawn mutant that has no result yet."""
    from cosmic_ray.work_db import WorkDB, use_db

    lock = LOCK.open("w")  # until this process ends, however it does
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("another run changes the code in .mutants already: two at once would not know whose mutant failed")
    trees = unpack(fresh, workers)
    os.chdir(TREE)
    # CI: Hypothesis draws the same examples for every mutant.
    os.environ |= {"PYTHONPATH": str(TREE / "src"), "CI": "1", "OMP_NUM_THREADS": "1"}
    plan = read_plan(PLAN, TREE)
    session(plan)
    end = time.monotonic() + minutes * 60
    with use_db(SESSION, WorkDB.Mode.open) as db:
        done = {job for job, _ in db.results}
        drawn = drawn_from(db, plan)[: draw or plan.draw]
        left = [(room, item) for room, item in drawn if item.job_id not in done and (not rooms or room in rooms)]
        wanted = {room for room, _ in left}
        known = {room.name: traced(room) for room in plan.rooms if room.name in wanted}
        results = _in_parallel([prepared(item, known[room]) for room, item in left], plan, trees, end)
        number = 0
        for number, (trial, result) in enumerate(results, 1):
            db.set_result(trial.item.job_id, result)
            (mutation,) = trial.item.mutations
            line = f"{mutation.module_path}:{mutation.start_pos[0]}"
            print(f"{number}/{len(left)} {result.test_outcome} {line} {mutation.operator_name}", flush=True)
        if number < len(left):
            print(f"{len(left) - number} mutants of the draw are left: the same command goes on")


def _in_parallel(
    trials: Sequence[Trial], plan: Plan, trees: Sequence[Path], end: float
) -> Iterator[tuple[Trial, WorkResult]]:
    """Results as they come; after ``end`` (monotonic seconds) no mutant is begun."""
    free: SimpleQueue[Path] = SimpleQueue()
    for tree in trees:
        free.put(tree)
    waiting, under_way = iter(trials), set[Future[tuple[Trial, "WorkResult"]]]()
    with ThreadPoolExecutor(len(trees)) as pool:
        while True:
            while len(under_way) < len(trees) and time.monotonic() < end and (trial := next(waiting, None)):
                under_way.add(pool.submit(tried, trial, plan, free))
            if not under_way:
                return
            finished, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in finished)


# --- the report ------------------------------------------------------------------------------------------------------


def wilson(hits: int, tries: int, z: float = CONFIDENCE_Z) -> tuple[float, float]:
    """Wilson's score interval of a share (E. B. Wilson, JASA 22, 1927); of nothing it is everything.

    >>> [round(end, 3) for end in wilson(85, 100)]
    [0.767, 0.907]
    """
    if tries == 0:
        return 0.0, 1.0
    share, square = hits / tries, z * z
    middle = (share + square / (2 * tries)) / (1 + square / tries)
    half = z / (1 + square / tries) * (share * (1 - share) / tries + square / (4 * tries * tries)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass
class Score:
    """How many mutants there are, were tried and were noticed; ``hung`` of the killed ended by running out of time."""

    mutants: int = 0
    tried: int = 0
    killed: int = 0
    hung: int = 0

    def add(self, result: WorkResult | None) -> None:
        self.mutants += 1
        if result is not None:
            self.tried += 1
            self.killed += result.test_outcome == "killed"
            self.hung += result.output == "timeout"

    def to_dict(self) -> dict[str, object]:
        interval = [round(end, 4) for end in wilson(self.killed, self.tried)]
        share = round(self.killed / self.tried, 4) if self.tried else None
        return {**vars(self), "survived": self.tried - self.killed, "share": share, "interval": interval}


def survivor(room: str, item: WorkItem, result: WorkResult) -> dict[str, object]:
    (mutation,) = item.mutations
    lines = [line for line in (result.diff or "").splitlines() if line[:1] in "+-" and line[:3] not in ("---", "+++")]
    return {
        "room": room,
        "file": str(mutation.module_path),
        "line": mutation.start_pos[0],
        "in": mutation.definition_name,
        "operator": mutation.operator_name.removeprefix("core/"),
        "was": " ".join(line[1:].strip() for line in lines if line[0] == "-"),
        "mutant": " ".join(line[1:].strip() for line in lines if line[0] == "+"),
    }


def report() -> dict[str, object]:
    """Scores by room and in total with 95 % intervals, and every mutant that no test noticed.

    Raises:
        SystemExit: a mutant could not be tried, so no share is right.
    """
    from cosmic_ray.work_db import WorkDB, use_db

    plan = read_plan(PLAN, TREE)
    scores = {room.name: Score() for room in plan.rooms}
    total, survivors = Score(), []
    with use_db(SESSION, WorkDB.Mode.open) as db:
        results = dict(db.results)
        for room, item in drawn_from(db, plan):
            result = results.get(item.job_id)
            if result is not None and result.test_outcome in (None, "incompetent"):
                sys.exit(f"{name_of(item)} could not be tried: {result.output}")
            for score in (scores[room], total):
                score.add(result)
            if result is not None and result.test_outcome == "survived":
                survivors.append(survivor(room, item, result))
    survivors.sort(key=lambda one: (str(one["file"]), one["line"]))
    return {
        "commit": COMMIT.read_text()[:7],
        "date": time.strftime("%Y-%m-%d"),
        "seed": plan.seed,
        "total": total.to_dict(),
        "rooms": {name: score.to_dict() for name, score in scores.items()},
        "survivors": survivors,
    }


def show(found: Mapping[str, object]) -> None:
    rows = {**dict(found["rooms"]), "total": found["total"]}  # type: ignore[call-overload]
    print(f"{'room':<14}{'mutants':>8}{'tried':>7}{'killed':>8}{'hung':>6}{'survived':>10}   killed, 95 % interval")
    for name, row in rows.items():
        share = "-" if row["share"] is None else f"{row['share']:.1%}"
        low, high = row["interval"]
        counts_ = f"{row['mutants']:>8}{row['tried']:>7}{row['killed']:>8}{row['hung']:>6}{row['survived']:>10}"
        print(f"{name:<14}{counts_}   {share} ({low:.1%} to {high:.1%})")
    for one in found["survivors"]:  # type: ignore[attr-defined]
        print(f"\n{one['file']}:{one['line']} {one['in']}  {one['operator']}\n  - {one['was']}\n  + {one['mutant']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="try the mutants of the draw that have no result yet")
    running.add_argument("--draw", type=int, help="how many; default: that of mutants.yaml")
    running.add_argument("--room", action="append", default=[], help="only this one; may be repeated")
    running.add_argument("--minutes", type=float, default=float("inf"), help="begin no mutant after so many")
    running.add_argument("--workers", type=int, default=1, help="mutants at once, each in a tree of its own")
    running.add_argument(
        "--fresh", action="store_true", help="forget the session: mutants of the commit that is here now"
    )
    reporting = commands.add_parser("report", help="what was found so far")
    reporting.add_argument("--json", type=Path, metavar="FILE", help="write it to FILE too")
    args = parser.parse_args()
    if args.command == "run":
        run(args.draw, args.room, args.minutes, args.fresh, args.workers)
        return
    found = report()
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    show(found)


if __name__ == "__main__":
    main()
