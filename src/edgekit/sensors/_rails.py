"""Which power rails of a Jetson add up to its power.

The rails are nested: the sum of all of them counts much of the power twice.
"""

from __future__ import annotations

from collections.abc import Collection

from edgekit.sensors._samples import Total

# The input of the whole: VIN of the carrier board (Thor), VDD_IN and POM_5V_IN of the module.
_INPUTS = (Total("board", ("VIN",)), Total("module", ("VDD_IN",)), Total("module", ("POM_5V_IN",)))
# Modules without an input sensor: the supplies that stand side by side. AGX Orin's VDDQ_VDD2_1V8AO is fed by
# VIN_SYS_5V0 (Jetson Linux Developer Guide r36.4.3, "Software-based power consumption modeling"); AGX Xavier's
# six stand beside each other (AGX Xavier Product Design Guide, 5.2).
_SUMS = (
    Total("module", ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
    Total("module", ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0")),
    Total("module", ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")),
)


def jetson_total(rails: Collection[str]) -> Total | None:
    """The widest total that ``rails`` hold; None for a board whose rails are not known."""
    return next((total for total in (*_INPUTS, *_SUMS) if set(total.rails) <= set(rails)), None)
