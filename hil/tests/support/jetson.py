"""A Jetson's programs and files on a test board: stand-ins that print what boards printed (``golden/jetson.json``)."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.loopback import Loopback

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "jetson.json").read_text("utf-8"))
LINE: str = json.loads((Path(__file__).parents[3] / "tests/golden/sensors/tegrastats.json").read_text("utf-8"))[0][
    "line"
]

# A mode has clocks of its own; "MODE free" or "MODE locked" is what jetson_clocks stores and restores.
_NVPMODEL = """#!/bin/sh
state={state}
name() {{ case $1 in {names} *) return 1 ;; esac; }}
case $1 in
-q) echo "NV Power Mode: $(name "$(cat $state/mode)")"; cat $state/mode ;;
-p) for mode in {modes}; do echo "NVPM VERB: POWER_MODEL: ID=$mode NAME=$(name $mode)"; done ;;
-m) echo "nvpmodel -m $2" >>$state/calls
    [ ! -f $state/stuck ] || exit 1
    case " {reboot} " in *" $2 "*) cat $state/reboot; exit 255 ;; esac
    name "$2" >/dev/null || {{ echo "NVPM ERROR: invalid mode"; exit 1; }}
    echo "$2" >$state/mode; echo "$2 free" >$state/clocks ;;
esac
"""
_CLOCKS = """#!/bin/sh
state={state}
case ${{1:-}} in
--show) cat "$state/show.$(cut -d' ' -f2 $state/clocks)" ;;
--store) cp $state/clocks "$2" ;;
--restore) echo "restore $(cat "$2")" >>$state/calls; cp "$2" $state/clocks ;;
'') [ ! -f $state/failing ] || {{ echo "Error: Failed to max GPU frequency!"; exit 1; }}
    echo "$(cat $state/mode) locked" >$state/clocks ;;
esac
"""
_TEGRASTATS = """#!/bin/sh
while :; do cat {line}; sleep 0.02; done
"""
_DPKG = """#!/bin/sh
cat {state}/packages
exit 1
"""


@dataclass(frozen=True)
class Jetson:
    """What the stand-ins remember."""

    state: Path

    @property
    def mode(self) -> str:
        return (self.state / "mode").read_text().strip()

    @property
    def clocks(self) -> str:
        """Mode and ``free`` or ``locked``."""
        return (self.state / "clocks").read_text().strip()

    @property
    def calls(self) -> list[str]:
        """What was changed, in order."""
        path = self.state / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def set(self, mode: str, clocks: str) -> None:
        (self.state / "mode").write_text(f"{mode}\n")
        (self.state / "clocks").write_text(f"{clocks}\n")

    def packages(self, versions: dict[str, str]) -> None:
        (self.state / "packages").write_text("".join(f"{name} {version}\n" for name, version in versions.items()))


def jetson(board: Loopback) -> Jetson:
    """Make a board one that was set to 30 W, its clocks free."""
    state = board.root / "board" / "jetson"
    state.mkdir()
    made, modes = Jetson(state), GOLDEN["modes"]
    made.set("2", "2 free")
    (state / "reboot").write_text("\n".join(modes["reboot"]) + "\n")
    for name in ("free", "locked"):
        (state / f"show.{name}").write_text("\n".join(GOLDEN["clocks"][name]) + "\n")
    (state / "line").write_text(LINE + "\n")
    (state / "release").write_text(GOLDEN["release"]["text"])
    made.packages(GOLDEN["release"]["packages"])
    names = " ".join(f"{number}) echo {name} ;;" for number, name in modes["named"].items())
    words = {
        "state": shlex.quote(str(state)),
        "names": names,
        "modes": " ".join(modes["named"]),
        "reboot": " ".join(modes["needs_reboot"]),
        "line": shlex.quote(str(state / "line")),
    }
    programs = {"nvpmodel": _NVPMODEL, "jetson_clocks": _CLOCKS, "tegrastats": _TEGRASTATS, "dpkg-query": _DPKG}
    for name, text in programs.items():
        path = board.bin / name
        path.write_text(text.format(**words))
        path.chmod(0o755)
    _sysfs(state / "sys")
    return made


def _sysfs(root: Path) -> None:
    thermal = GOLDEN["thermal"]
    files: dict[str, object] = {}
    for index, (name, value) in enumerate(thermal["zones"].items()):
        files[f"class/thermal/thermal_zone{index}/type"] = name
        if value is not None:
            files[f"class/thermal/thermal_zone{index}/temp"] = value
    for index, (name, (now, most)) in enumerate(thermal["cooling"].items()):
        for file, value in (("type", name), ("cur_state", now), ("max_state", most)):
            files[f"class/thermal/cooling_device{index}/{file}"] = value
    files |= {f"class/hwmon/hwmon3/{name}": value for name, value in thermal["counters"].items()}
    for path, value in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{value}\n")
