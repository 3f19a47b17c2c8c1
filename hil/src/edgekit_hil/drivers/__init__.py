"""labgrid drivers of edgekit's boards; importing them registers them."""
