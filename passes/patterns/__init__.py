"""One file per family of patterns; each yields the matches that it finds in a prepared graph."""
