"""Conversions between the units that stand in our names; the only place for powers of ten."""

US_PER_MS = 1e3
US_PER_S = 1e6
MS_PER_S = 1e3
NS_PER_US = 1_000
BYTES_PER_GB = 1e9
BYTES_PER_MB = 1e6
BYTES_PER_KB = 1e3
MACS_PER_GMAC = 1e9
MACS_PER_MMAC = 1e6
OPS_PER_GOP = 1e9
OPS_PER_MOP = 1e6
THOUSAND = 1e3
"""Of what is counted without a unit."""
BITS_PER_BYTE = 8
MW_US_PER_MJ = 1e6
PJ_PER_MJ = 1e9


def transfer_us(size_bytes: float, bandwidth_gb_per_s: float) -> float:
    """Microseconds to move `size_bytes` at `bandwidth_gb_per_s` (1 GB = 1e9 bytes)."""
    return size_bytes / (bandwidth_gb_per_s * BYTES_PER_GB) * US_PER_S


def compute_us(work_macs: float, peak_gmac_per_s: float) -> float:
    """Microseconds for `work_macs` multiply-accumulates at `peak_gmac_per_s`."""
    return work_macs / (peak_gmac_per_s * MACS_PER_GMAC) * US_PER_S


def ms(time_us: float) -> float:
    return time_us / US_PER_MS


def ns_as_ms(time_ns: float) -> float:
    """Milliseconds, from the simulator's nanoseconds."""
    return time_ns / NS_PER_US / US_PER_MS


def ns_as_s(time_ns: float) -> float:
    """Seconds, from the simulator's nanoseconds."""
    return time_ns / NS_PER_US / US_PER_S


def ns(time_us: float) -> int:
    """Whole nanoseconds, for the simulator's integer clock."""
    return round(time_us * NS_PER_US)
