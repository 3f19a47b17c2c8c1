"""The names of a model's classes; see :mod:`edgekit.core.classes`."""

from edgekit.core.classes import ClassNames, ManyClassNames, MaskNames, ObjectNames

__all__ = ["ClassNames", "ManyClassNames", "MaskNames", "ObjectNames"]
