"""Inference engines, a file or a folder per backend.

    Backend             the contract: builds and opens the engines of one target, with every default
    backend(config)     that of a target; ask once and hand it on
    backends(config)    of a target ``engine: auto`` several, which race
    Engine              a model that runs between open() and close()

A backend is a module with a frozen ``Config`` (its keys under ``targets`` in the spec) and a subclass of
:class:`Backend` of the same name.
"""

from __future__ import annotations

from edgekit.core.layers import LayerEvent as LayerEvent
from edgekit.core.layers import LayerTensor as LayerTensor
from edgekit.core.probes import Probe as Probe
from edgekit.engine._auto import Absent as Absent
from edgekit.engine._auto import AutoConfig as AutoConfig
from edgekit.engine._auto import backends as backends
from edgekit.engine._auto import contenders as contenders
from edgekit.engine._auto import lacking as lacking
from edgekit.engine._backend import Backend as Backend
from edgekit.engine._backend import EngineConfig as EngineConfig
from edgekit.engine._backend import RaceTimes as RaceTimes
from edgekit.engine._backend import RemoteConfig as RemoteConfig
from edgekit.engine._backend import backend as backend
from edgekit.engine._backend import backend_class as backend_class
from edgekit.engine._backend import layers_path as layers_path
from edgekit.engine._backend import target_of as target_of
from edgekit.engine._chain import Chain as Chain
from edgekit.engine._chain import predict as predict
from edgekit.engine._engine import Engine as Engine
from edgekit.engine._parts import Part as Part
from edgekit.engine._threads import ThreadsConfig as ThreadsConfig
from edgekit.engine._turns import in_turn as in_turn
from edgekit.engine._turns import opened_in_turn as opened_in_turn
