"""Faults that a run is put through, one a file."""
