"""What happens over time when a plan runs: a deterministic event engine, shared resources, the timeline."""

from partita.simulator.critical_path import CriticalPath, critical_path
from partita.simulator.run import simulate
from partita.simulator.timeline import Counter, Span, Timeline
from partita.simulator.timeline_file import read_timeline, timeline_bytes, write_timeline

__all__ = [
    "Counter", "CriticalPath", "Span", "Timeline", "critical_path", "read_timeline", "simulate", "timeline_bytes",
    "write_timeline",
]  # fmt: skip
