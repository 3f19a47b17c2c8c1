"""Shared data classes: what the stages hand to each other."""
