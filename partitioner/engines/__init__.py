"""Engines that solve plain-number placement problems, one per file, behind one interface (`outcome.py`)."""
