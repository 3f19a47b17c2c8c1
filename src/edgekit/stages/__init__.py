"""What orchestrates: it knows spec, bundle and workspace; what computes is in rooms of its own."""
