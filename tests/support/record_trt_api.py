"""Record what NVIDIA's TensorRT and CUDA bindings offer, as data: ``python tests/support/record_trt_api.py``.

The bindings' wheels are on the package index, the libraries below them are not.  With an empty library in the
place of each, the bindings import: every class, method, property and enumeration member can be read, nothing
runs.  Needs a C compiler and the package index; the tests read only the recorded files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

OUT = Path(__file__).parents[1] / "golden" / "trt_api"
# 10.3 is JetPack 6's, 10.16 JetPack 7.2's; the rest are what desktops have.
WHEELS = {
    "tensorrt-10.3": ("tensorrt-cu12-bindings", "10.3.0"),
    "tensorrt-10.13": ("tensorrt-cu12-bindings", "10.13.3.9.post1"),
    "tensorrt-10.16": ("tensorrt-cu12-bindings", "10.16.1.11"),
    "tensorrt-11.4": ("tensorrt-cu12-bindings", "11.4.0.106"),
    "tensorrt-rtx-1.7": ("tensorrt-rtx-cu13-bindings", "1.7.1.116"),
    "cuda-12.9": ("cuda-bindings", "12.9.10"),
    "cuda-13.5": ("cuda-bindings", "13.5.0"),
}
_OURS = re.compile(r"\b(?:tensorrt|tensorrt_bindings|tensorrt_rtx_bindings)\.(?:tensorrt_rtx|tensorrt|plugin)\.")


def record(name: str, wheels: Path) -> Path:
    """Download the wheel ``name`` into ``wheels``, read it in a child process and write its signatures."""
    project, version = WHEELS[name]
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download(project, version, wheels)
        root = Path(folder)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root)
        trt = next(root.glob("*_bindings/*.so"), None)
        stubs = [str(stub) for stub in _stubs(trt, root / "stubs")] if trt else []
        package = trt.parent.name if trt else "cuda.bindings.runtime"
        command = [sys.executable, __file__, "--read", package, *stubs]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout)
    source = {"project": project, "version": version, "wheel": wheel.name, "sha256": _sha256(wheel)}
    target = OUT / f"{name}.json"
    target.write_text(_dump({"source": source, **found}))
    return target


def _download(project: str, version: str, wheels: Path) -> Path:
    wheels.mkdir(parents=True, exist_ok=True)
    pattern = f"{project.replace('-', '_')}-{version}-*.whl"
    if not list(wheels.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels)]
        subprocess.run([*command, f"{project}=={version}"], check=True)
    return next(wheels.glob(pattern))


def _stubs(bindings: Path, folder: Path) -> list[Path]:
    """An empty library in the place of each of NVIDIA's that ``bindings`` was linked against."""
    folder.mkdir()
    dynamic = subprocess.run(["readelf", "-d", str(bindings)], check=True, capture_output=True, text=True).stdout
    symbols = subprocess.run(["nm", "-D", "-u", str(bindings)], check=True, capture_output=True, text=True).stdout
    functions = re.findall(r"U ((?:create|get|initLib)\w+)$", symbols, re.MULTILINE)
    code = folder / "stubs.c"
    code.write_text("".join(f"void* {name}(void) {{ return 0; }}\n" for name in functions))
    made = []
    for library in re.findall(r"\[(lib(?:nv|tensorrt)[^\]]*)\]", dynamic):
        made.append(folder / library)
        link = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{library}", str(code), "-o", str(made[-1])]
        subprocess.run(link, check=True)
    return made


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _dump(document: dict[str, Any]) -> str:
    """JSON with one line for each method, so that two versions can be compared."""
    lines = json.dumps(document, indent=1, sort_keys=True)
    lines = re.sub(r"\[\n\s+(\"[^\n]*\")\n\s+\]", r"[\1]", lines)
    short = re.compile(r"(\"(?:members|properties|settable|values|bases)\": )([{\[][^{}\[\]]*[}\]])")
    return short.sub(lambda match: match[1] + re.sub(r"\s*\n\s*", " ", match[2]), lines) + "\n"


def read(package: str, stubs: list[str]) -> dict[str, Any]:
    """The signatures of the bindings ``package``, after loading ``stubs``; for a process of its own."""
    import ctypes
    import importlib

    for stub in stubs:
        ctypes.CDLL(stub, mode=ctypes.RTLD_GLOBAL)
    sys.path.insert(0, ".")
    module = importlib.import_module(package)
    if package == "cuda.bindings.runtime":
        return {"package": package, **_read_cuda(module)}
    classes: dict[str, Any] = {}
    functions: dict[str, Any] = {}
    values: dict[str, str] = {"__version__": "str"}
    for name, value in sorted(vars(module).items()):
        if name.startswith("_") or type(value).__name__ == "module":
            continue
        if isinstance(value, type):
            _read_class(name, value, classes)
        elif callable(value):
            functions[name] = _signatures(name, value)
        else:
            values[name] = type(value).__qualname__
    imported = {"ctypes", "importlib", "os", "sys", "warnings"}
    functions = {name: found for name, found in functions.items() if name not in imported}
    return {"package": package, "classes": classes, "functions": functions, "values": values}


def _read_cuda(module: Any) -> dict[str, Any]:
    """The functions, the enumerations and the integer constants of CUDA's runtime API."""
    found: dict[str, Any] = {"classes": {}, "functions": {}, "values": {}}
    for name, value in sorted(vars(module).items()):
        if isinstance(value, type) and hasattr(value, "__members__"):
            members = {member: int(each) for member, each in value.__members__.items()}
            found["classes"][name] = {"bases": [], "members": members}
        elif name.startswith("cuda") and callable(value) and not isinstance(value, type):
            found["functions"][name] = _signatures(name, value)
        elif name.startswith("cuda") and isinstance(value, int):
            found["values"][name] = value
    return found


def _read_class(name: str, kind: type, classes: dict[str, Any]) -> None:
    bases = [base.__qualname__ for base in kind.__bases__ if base.__name__ not in ("pybind11_object", "object")]
    found: dict[str, Any] = {"bases": bases}
    classes[name] = found
    if members := getattr(kind, "__members__", None):
        found["members"] = {member: int(value) for member, value in members.items()}
        return
    found.update(methods={}, properties={}, settable=[], values={})
    for member, value in sorted(vars(kind).items()):
        if isinstance(value, type):
            _read_class(f"{name}.{member}", value, classes)
        elif isinstance(value, property):
            found["properties"][member] = _result(value)
            found["settable"] += [member] if value.fset is not None else []
        elif callable(value) or isinstance(value, staticmethod):
            if not member.startswith("_") or member in ("__init__", "__len__", "__getitem__", "__enter__", "__exit__"):
                found["methods"][member] = _signatures(member, getattr(kind, member))
        elif not member.startswith("_"):
            found["values"][member] = type(value).__qualname__


def _signatures(name: str, function: Any) -> list[str]:
    """What follows the name, one for each overload: ``(self: Builder, flags: int = 0) -> INetworkDefinition``."""
    import inspect

    text = _OURS.sub("", function.__doc__ or "")
    found = re.findall(rf"^(?:\d+\. )?{re.escape(name)}(\(.*)$", text, re.MULTILINE)
    found = [signature for signature in found if signature != "(*args, **kwargs)"]
    if not found and inspect.isfunction(function):
        found = [str(inspect.signature(function))]
    return [re.sub(r" at 0x[0-9a-f]+", "", signature.strip()) for signature in found]


def _result(value: property) -> str:
    text = _OURS.sub("", (value.fget.__doc__ if value.fget else None) or "")
    match = re.search(r"-> (.+)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--wheels", type=Path, default=Path(tempfile.gettempdir()) / "trt-wheels")
    parser.add_argument("--read", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", choices=[[], *WHEELS])
    given = parser.parse_args()
    if given.read:
        print(json.dumps(read(given.read[0], given.read[1:])))
        return
    OUT.mkdir(exist_ok=True)
    for name in given.names or WHEELS:
        print(record(name, given.wheels))


if __name__ == "__main__":
    main()
