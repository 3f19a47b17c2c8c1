"""Percentiles, openings and shares with their intervals, and the rule for "faster"."""
