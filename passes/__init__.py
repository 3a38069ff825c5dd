"""Hardware-independent passes, each `Graph -> Graph`, and the recognition of fusible patterns."""
