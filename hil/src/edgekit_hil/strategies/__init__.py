"""labgrid strategies; importing them registers them."""
