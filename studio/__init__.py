"""Partita Studio: a local page on which the numbers of a Soc are moved and the placement follows."""
