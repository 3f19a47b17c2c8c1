"""What a run does on the board, one step a file."""
