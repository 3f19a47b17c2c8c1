"""Percentiles, openings, pairs and shares with their intervals."""
