"""Runs of many nights: recorded with MLflow, found again, watched for drifts."""

from edgekit.history.book import History
from edgekit.history.drift import control_chart, drifts, worsenings
from edgekit.history.runs import BUNDLE, LAST_GOOD, Entry, Run
from edgekit.history.values import key

__all__ = ["BUNDLE", "LAST_GOOD", "Entry", "History", "Run", "control_chart", "drifts", "key", "worsenings"]
