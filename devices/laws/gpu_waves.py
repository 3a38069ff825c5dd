"""GPU law: waves of threads over tiles of the output, memory traffic, a fixed cost; then a learned correction.

    physical  = fixed + bytes read / rate + bytes written / rate + weights / rate + MACs / rate
                + sum over (tile, wave) of cost * depth * ceil(tiles of the output / wave)
                + what the delegate launches: groups, and cost * steps of a thread * waves, by what the tile reads
    kernel    = physical * exp(correction), the correction fading out beyond the sizes that it was fitted on

All coefficients are at least 0, so that the physical part grows with every size. Each kernel that the delegate has for
an operator (by its tile, see `delegate`) has coefficients of its own where enough of it was measured, else those of its
kind. The correction (trees over sizes, launches and the physical part) is made monotone between usual sizes: a kernel
lies half way between the longest that one with fewer channels or pixels takes and the shortest that one with more does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from partita.devices.laws import delegate
from partita.devices.laws.delegate import Gpu, Launch
from partita.devices.laws.gpu_kernels import BASE, COLUMN_OF, KINDS, SLICE, Columns
from partita.devices.laws.trees import Floats, Ints, Trees

TILES = ((1, 1, 1), (2, 1, 1), (2, 1, 2), (2, 2, 1), (2, 2, 2), (1, 1, 2), (1, 1, 4), (4, 1, 1))
"""Width, height and slices of the output that one thread computes."""
WAVES = (32, 64, 128, 256, 512, 1024, 2048)
"""Threads that run at a time."""
WAVES_AT_ONCE = (1, 2, 4, 8, 16, 32, 64)
"""Of real launches, on one unit."""
MOST_CORRECTION = 1.5
"""Of the logarithm, by the trees."""
OF_ANOTHER_KERNEL = 0.05
"""By how much, as a logarithm, more work may be quicker where the delegate goes over to another kernel."""
SHORTEST_US = 0.5
"""Of a kernel, by the physical part."""
USUAL_CHANNELS = np.array(
    [4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 72, 80, 88, 96, 112, 120, 128, 144, 160, 176, 192, 208, 224, 240,
     256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 832, 896, 960, 1024, 1152, 1280, 1408, 1536, 1664,
     1792, 1920, 2048, 2304, 2560, 3072, 4096, 5120, 6144, 8192, 16384]
)  # fmt: skip
USUAL_PIXELS = np.array([1, 2, 4, 7, 8, 10, 14, 16, 19, 20, 24, 28, 32, 38, 40, 48, 56, 64, 75, 80, 96, 112, 128, 150,
                         160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024, 2048, 4096])  # fmt: skip
STEPS = (
    *((step, 0, 0) for step in range(1, 8)),
    *((0, step, 0) for step in range(1, 8)),
    *((0, 0, step) for step in range(1, 5)),
    (1, 1, 1),
)
"""How many usual sizes away: channels, input channels, pixels either way."""

Names = np.ndarray[tuple[int], np.dtype[np.str_]]


def physical_terms(columns: Columns, launch: Launch, gpu: Gpu) -> Floats:
    """[rows, terms]: what the coefficients of the physical part multiply."""
    one = np.ones(len(columns.base))
    pixels = columns["height"] * columns["width"]
    terms = [one, columns.read_bytes, columns.written_bytes, columns.weight_bytes, columns.macs, columns.depth,
             columns.written_bytes * columns["extra"], pixels, columns.slices]  # fmt: skip
    for tile in TILES:
        tiles, steps = columns.tiles(tile), columns.depth * float(np.prod(tile))
        terms += [steps * np.ceil(tiles / wave) for wave in WAVES]
        terms.append(steps * tiles)
    return np.stack([*terms, *_launch_terms(columns, launch, gpu)], axis=1)


def _launch_terms(columns: Columns, launch: Launch, gpu: Gpu) -> list[Floats]:
    """Of what runs: arithmetic, and reads of the input (by pixels of the tile) and of the weights (by its slices)."""
    steps = steps_of(columns, launch)
    work, weights = steps * launch.tile, steps * launch.tile_slices
    reads = steps * launch.tile_width * launch.tile_height
    strided, window = (columns["stride"] > 1).astype(float), (columns["taps"] > 1).astype(float)
    whole = np.where(columns.is_kind("concat") & (columns["broken"] == 0), columns.slices, 0.0)
    terms = []
    for lanes in delegate.LANES[gpu.vendor]:
        waves = launch.waves(lanes)
        for most in WAVES_AT_ONCE:
            turns = np.ceil(waves / (gpu.units * most))
            terms += [work * turns, steps * turns]
        terms += [each * waves for each in (work, steps, reads + weights, weights, reads, np.ones(len(work)))]
        terms += [kind * each * waves for kind in (strided, window) for each in (work, reads)]
    threads = launch.threads
    return [*terms, work * launch.groups * launch.group, work * threads, launch.groups, steps, work, threads,
            reads * threads, weights * threads, steps * threads, strided * columns.read_bytes,
            window * columns.read_bytes, strided * work, whole, whole * threads]  # fmt: skip


def steps_of(columns: Columns, launch: Launch) -> Floats:
    """Turns of the innermost loop of a thread; a group shares those of a mean and of a fully connected layer."""
    side = np.round(np.sqrt(columns["taps"]))
    shared = np.ceil(side / launch.group_x) * np.ceil(side / launch.group_y)
    steps = np.where(columns.is_kind("fully_connected"), np.ceil(columns.in_slices / 4), columns.depth)
    result: Floats = np.where(columns.is_kind("mean") & (launch.variant == delegate.SPECIAL), shared, steps)
    return result


def kernel_names(columns: Columns, launch: Launch) -> Names:
    """Each row's kernel: its kind, and the tile or variant of it by which the delegate's programs differ."""
    kinds = columns["kind"].astype(int)
    tiled = columns.is_kind("conv", "grouped")
    special = (launch.variant == delegate.SPECIAL) | ~tiled
    code = np.where(special, 0, launch.tile_width * 100 + launch.tile_height * 10 + launch.tile_slices)
    code = (code + 1000 * launch.variant * (launch.variant == delegate.SPECIAL)).astype(int)
    whole, place = np.unique(np.stack([kinds, code]), axis=1, return_inverse=True)
    names = np.array([KINDS[kind] + _variant_name(code) for kind, code in whole.T.tolist()])
    result: Names = names[place.reshape(-1)]
    return result


def _variant_name(code: int) -> str:
    if code == 0:
        return ""
    return " special" if code >= 1000 else f" {code // 100}x{code // 10 % 10}x{code % 10}"


def features(columns: Columns, launch: Launch, gpu: Gpu, log_physical: Floats) -> Floats:
    """[rows, features]: what the trees look at."""
    width, slices = columns["width"], columns.slices
    macs, pixels = columns.macs, columns["height"] * columns["width"]
    moved = columns.read_bytes + columns.written_bytes + columns.weight_bytes
    found = [
        *(columns[name] for name in BASE), columns.in_slices, slices, columns.depth, macs, columns.read_bytes,
        columns.written_bytes, columns.weight_bytes, pixels, macs / np.maximum(moved, 1),
        macs / np.maximum(pixels * slices, 1), slices % 2, columns.in_slices % 2, slices % 4, columns.in_slices % 4,
        width % 4, columns["channels"] % 4, columns["in_channels"] % 4, log_physical, *_concat_features(columns),
        *_launch_features(columns, launch, gpu),
    ]  # fmt: skip
    return np.stack(found, axis=1)


def _concat_features(columns: Columns) -> list[Floats]:
    """Slices of the first input and of the rest, of which a thread reads two at a time if they are even."""
    first = np.ceil(columns["first_channels"] / SLICE)
    rest = np.where(columns.is_kind("concat"), columns.slices - first, 0.0)
    return [rest, first % 2, rest % 2, columns.slices / columns["inputs"]]


def _launch_features(columns: Columns, launch: Launch, gpu: Gpu) -> list[Floats]:
    steps, whole = steps_of(columns, launch), launch.groups * launch.group
    on_units = launch.groups / gpu.units
    found = [
        launch.tile_width, launch.tile_height, launch.tile_slices, steps, launch.unrolled, launch.variant,
        launch.threads, launch.group, launch.groups, launch.grid_x, launch.grid_y, launch.grid_z, launch.group_x,
        launch.group_y, launch.group_z, launch.tile, whole / launch.threads, whole, on_units,
        np.ceil(on_units) / on_units, steps * launch.tile * whole,
    ]  # fmt: skip
    for lanes in delegate.LANES[gpu.vendor]:
        found += [launch.waves(lanes) / gpu.units, launch.group / lanes / np.ceil(launch.group / lanes)]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class KernelLaw:
    """The fitted law of one GPU."""

    gpu: Gpu
    coefficients: Mapping[str, Floats]
    """Kind, or kernel of `kernel_names` -> microseconds per unit of each physical term."""
    trees: Trees | None
    longest_us: Mapping[str, float]
    """Kind -> the largest physical time that it was fitted on."""
    fade: float = 3.0
    """Doublings of that time, times ln 2, after which half of the correction is gone."""

    def log_us(self, base: Floats) -> Floats:
        """Logarithm of each row's time, without the envelope."""
        return self._log_us(self.seen(base))

    def us(self, base: Floats) -> Floats:
        """Time of each row, made monotone: between the most of smaller kernels and the least of larger ones."""
        rows, place = np.unique(base, axis=0, return_inverse=True)
        less, more = neighbours(rows, -1), neighbours(rows, 1)
        seen = self.seen(np.concatenate([rows, less.rows, more.rows]))
        parts = np.split(self._log_us(seen), [len(rows), len(rows) + len(less.rows)])
        names = np.split(seen.names, [len(rows), len(rows) + len(less.rows)])
        at_least, at_most = parts[0].copy(), parts[0].copy()
        np.maximum.at(at_least, less.owners, parts[1] - forgiven(names[1], names[0][less.owners]))
        np.minimum.at(at_most, more.owners, parts[2] + forgiven(names[2], names[0][more.owners]))
        result: Floats = np.exp((at_least + at_most) / 2)[place.reshape(-1)]
        return result

    def seen(self, base: Floats) -> "Seen":
        """Rows of `BASE` as the law's parts see them."""
        columns = Columns(base)
        launch = delegate.launched(columns, self.gpu)
        names = kernel_names(columns, launch)
        physical = self._log_physical(physical_terms(columns, launch, self.gpu), names)
        found = features(columns, launch, self.gpu, physical)
        return Seen(columns["kind"].astype(int), names, physical, found)

    def _log_us(self, seen: "Seen") -> Floats:
        if self.trees is None:
            return seen.log_physical
        correction = np.clip(self.trees.predict(seen.features), -MOST_CORRECTION, MOST_CORRECTION)
        longest = np.array([np.log(self.longest_us.get(kind, 1e-9)) for kind in KINDS])
        beyond = np.maximum(0.0, seen.log_physical - longest[seen.kinds])
        result: Floats = seen.log_physical + correction / (1 + beyond / self.fade)
        return result

    def _log_physical(self, terms: Floats, names: Names) -> Floats:
        result = np.zeros(len(terms))
        for name in np.unique(names).tolist():
            inside = names == name
            result[inside] = terms[inside] @ self.coefficients.get(name, self.coefficients[name.partition(" ")[0]])
        return np.log(np.maximum(result, SHORTEST_US))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Kernels, a row each."""

    kinds: Ints
    names: Names
    """Of `kernel_names`."""
    log_physical: Floats
    """Logarithm of the time by the physical part alone."""
    features: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Other rows of `BASE`, and which row each belongs to."""

    rows: Floats
    owners: Ints


def forgiven(names: Names, others: Names) -> Floats:
    """By how much, as a logarithm, the order of each two kernels may be broken."""
    return np.where(names != others, OF_ANOTHER_KERNEL, 0.0)


def neighbours(base: Floats, direction: int) -> Neighbours:
    """Each row with fewer (-1) or more (1) channels or pixels, by every one of `STEPS` that there is."""
    kinds = base[:, COLUMN_OF["kind"]]
    tied = np.isin(kinds, [KINDS.index(name) for name in ("depthwise", "mean", "max_pool", "average_pool", "concat")])
    fixed_channels = kinds == KINDS.index("grouped")
    found, owners = [], []
    for channels, in_channels, pixels in STEPS:
        row = base.copy()
        row[:, COLUMN_OF["channels"]] = _usual(row[:, COLUMN_OF["channels"]], USUAL_CHANNELS, direction * channels)
        row[:, COLUMN_OF["in_channels"]] = _usual(
            row[:, COLUMN_OF["in_channels"]], USUAL_CHANNELS, direction * in_channels
        )
        row[tied, COLUMN_OF["in_channels"]] = row[tied, COLUMN_OF["channels"]]
        first = COLUMN_OF["first_channels"]
        row[:, first] = np.minimum(row[:, first], row[:, COLUMN_OF["channels"]])
        for name in ("height", "width"):
            moved = _usual(row[:, COLUMN_OF[name]], USUAL_PIXELS, direction * pixels)
            row[:, COLUMN_OF[name]] = np.where(
                row[:, COLUMN_OF[name]] > 1, np.maximum(moved, 2), row[:, COLUMN_OF[name]]
            )
        keep = (kinds != KINDS.index("winograd")) & ~(fixed_channels & (channels + in_channels > 0))
        keep &= (row != base).any(axis=1)
        found.append(row[keep])
        owners.append(np.flatnonzero(keep))
    return Neighbours(np.concatenate(found), np.concatenate(owners))


def _usual(sizes: Floats, usual: Ints, steps: int) -> Floats:
    """The usual size that is `steps` away from each; the size itself where there is none."""
    if steps == 0:
        return sizes
    at = np.searchsorted(usual, sizes, side="left" if steps < 0 else "right") + (steps if steps < 0 else steps - 1)
    inside = (at >= 0) & (at < len(usual))
    result: Floats = np.where(inside, usual[np.clip(at, 0, len(usual) - 1)], sizes)
    return result
