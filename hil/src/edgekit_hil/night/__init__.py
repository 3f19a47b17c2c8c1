"""The night of a fleet: plan, runs, bisection, morning page."""
