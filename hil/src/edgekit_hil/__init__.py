"""edgekit's KPIs on the board: labgrid drivers and strategies, one run of one board, and the night of a fleet."""

__version__ = "0.1.0"
