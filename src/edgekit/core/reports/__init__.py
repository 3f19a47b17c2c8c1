"""Results of the stages, as data; their JSON Schemas are printed by ``edgekit schema``.

Every document carries ``schema_version``; a field is never renamed within a version.
"""

from __future__ import annotations

from edgekit.core.reports.accuracy import Bootstrap as Bootstrap
from edgekit.core.reports.accuracy import Difference as Difference
from edgekit.core.reports.accuracy import EvaluateReport as EvaluateReport
from edgekit.core.reports.accuracy import Slice as Slice
from edgekit.core.reports.accuracy import WorstFrame as WorstFrame
from edgekit.core.reports.achieved import Achieved as Achieved
from edgekit.core.reports.achieved import LayerPrecision as LayerPrecision
from edgekit.core.reports.compression import CompressReport as CompressReport
from edgekit.core.reports.compression import GroupCost as GroupCost
from edgekit.core.reports.compression import LayerNoise as LayerNoise
from edgekit.core.reports.compression import Rung as Rung
from edgekit.core.reports.compression import SensitivityReport as SensitivityReport
from edgekit.core.reports.conditions import Growth as Growth
from edgekit.core.reports.conditions import LeakReport as LeakReport
from edgekit.core.reports.conditions import MachineReport as MachineReport
from edgekit.core.reports.conditions import PeaksReport as PeaksReport
from edgekit.core.reports.conditions import Settings as Settings
from edgekit.core.reports.conditions import Traffic as Traffic
from edgekit.core.reports.contest import Contender as Contender
from edgekit.core.reports.contest import Contest as Contest
from edgekit.core.reports.contest import Timed as Timed
from edgekit.core.reports.gate import GateReport as GateReport
from edgekit.core.reports.gate import KpiKind as KpiKind
from edgekit.core.reports.gate import KpiLimit as KpiLimit
from edgekit.core.reports.gate import KpiResult as KpiResult
from edgekit.core.reports.history import ChangePoint as ChangePoint
from edgekit.core.reports.history import ControlChart as ControlChart
from edgekit.core.reports.history import Direction as Direction
from edgekit.core.reports.history import HistoryReport as HistoryReport
from edgekit.core.reports.history import ListedRun as ListedRun
from edgekit.core.reports.history import Series as Series
from edgekit.core.reports.history import Worsening as Worsening
from edgekit.core.reports.parity import Agreement as Agreement
from edgekit.core.reports.parity import Departure as Departure
from edgekit.core.reports.parity import FramesProof as FramesProof
from edgekit.core.reports.parity import LayerParity as LayerParity
from edgekit.core.reports.parity import LayersReport as LayersReport
from edgekit.core.reports.parity import OutputParity as OutputParity
from edgekit.core.reports.parity import Reduction as Reduction
from edgekit.core.reports.parity import StepProof as StepProof
from edgekit.core.reports.parity import VerifyReport as VerifyReport
from edgekit.core.reports.power import ClocksReport as ClocksReport
from edgekit.core.reports.power import ClockState as ClockState
from edgekit.core.reports.power import PowerReport as PowerReport
from edgekit.core.reports.power import SensorReport as SensorReport
from edgekit.core.reports.power import TemperatureReport as TemperatureReport
from edgekit.core.reports.proof import EngineProof as EngineProof
from edgekit.core.reports.race import Race as Race
from edgekit.core.reports.result import ResultReport as ResultReport
from edgekit.core.reports.timing import ControlProfile as ControlProfile
from edgekit.core.reports.timing import Latency as Latency
from edgekit.core.reports.timing import LayerTime as LayerTime
from edgekit.core.reports.timing import ProfileReport as ProfileReport
from edgekit.core.reports.training import TRACE as TRACE
from edgekit.core.reports.training import CurvePoint as CurvePoint
from edgekit.core.reports.training import TrainingCurve as TrainingCurve
from edgekit.core.reports.training import TrainingReport as TrainingReport
from edgekit.core.reports.values import SCHEMA_VERSION as SCHEMA_VERSION
from edgekit.core.reports.values import Document as Document
from edgekit.core.reports.values import Interval as Interval
from edgekit.core.reports.values import KpiVerdict as KpiVerdict
from edgekit.core.reports.values import Metric as Metric
from edgekit.core.reports.values import Verdict as Verdict
from edgekit.core.reports.values import control_name as control_name

DOCUMENTS: dict[str, type] = {
    "compress": CompressReport,
    "sensitivity": SensitivityReport,
    "evaluate": EvaluateReport,
    "profile": ProfileReport,
    "verify": VerifyReport,
    "gate": GateReport,
}
"""Commands and the type of their ``--json`` document."""
