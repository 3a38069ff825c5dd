"""What it costs two units to share one operator.

Source of the form: Jia et al., "CoDL: Efficient CPU-GPU Co-execution for Deep Learning Inference on Mobile Devices",
MobiSys 2022: T = T_transform + T_map + T_presync + max(T_first, T_second) + T_postsync.
"""

from collections.abc import Sequence

from pydantic import Field

from partita.devices.number import Number, Positive, Strict
from partita.units import transfer_us


class CoExecution(Strict):
    """Two units that can share an operator, split by channels or rows, and the price."""

    first: str = Field(min_length=1)
    """The unit whose queue is drained before the other may read, usually a GPU."""
    second: str = Field(min_length=1)
    """The unit that waits, usually the CPU."""
    transform_us: Number
    """Fixed part of bringing the operands into the form that `second` reads."""
    transform_gb_per_s: Positive
    map_us: Number
    """Fixed part of making the memory visible to `second`."""
    map_gb_per_s: Positive
    pre_sync_us: Number
    """Wait until `first` has drained its queue."""
    post_sync_us: Number
    slowdown: Positive
    """Factor on the work of both while they work side by side: shared memory, shared power, uneven shares."""

    def before_us(self, size_bytes: int) -> tuple[float, float, float]:
        """(transform, map, pre_sync): what precedes the work if so much changes hands."""
        transform_us = self.transform_us.value + transfer_us(size_bytes, self.transform_gb_per_s.value)
        map_us = self.map_us.value + transfer_us(size_bytes, self.map_gb_per_s.value)
        return transform_us, map_us, self.pre_sync_us.value

    def check_units(self, names: Sequence[str]) -> None:
        """ValueError if a unit is named that the Soc does not have, or one twice."""
        for field, name in (("first", self.first), ("second", self.second)):
            if name not in names:
                raise ValueError(f"co_execution.{field} is {name!r}, which is no unit; units: {', '.join(names)}")
        if self.first == self.second:
            raise ValueError(f"co_execution.second is {self.second!r} too; two units share an operator")
