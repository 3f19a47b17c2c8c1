"""The model that backends run to find out whether they work here."""

from __future__ import annotations

# y = x + x for float32 [1, 4], opset 17: small enough to write out, so that probing needs no onnx package.
PROBE_MODEL = bytes.fromhex(
    "08083a3d0a0e0a01780a017812017922034164641201705a130a0178120e0a0c080112080a0208010a02080462130a017912"
    "0e0a0c080112080a0208010a02080442040a001011"
)
