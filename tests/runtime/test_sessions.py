"""What every session of a machine is set to."""

from __future__ import annotations

import onnxruntime
import pytest

from edgekit.runtime import processor, sessions

EXACT = "session.x64quantprecision"


@pytest.mark.parametrize("products", ["u8u8", None])
def test_exact_products_are_asked_only_where_sums_would_saturate(
    products: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With VNNI the option makes INT8 half as fast for nothing."""
    monkeypatch.setattr(processor, "int8_products", lambda: products)
    options = onnxruntime.SessionOptions()
    sessions.configure(options)
    assert options.get_session_config_entry("session.set_denormal_as_zero") == "1"
    assert (EXACT in sessions.settings()) == (products is not None)
    if products is None:
        with pytest.raises(RuntimeError):
            options.get_session_config_entry(EXACT)
    else:
        assert options.get_session_config_entry(EXACT) == "1"
