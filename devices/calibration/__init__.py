"""Measurements -> what a Soc file holds: latency tables, and unit parameters from timed operators."""
