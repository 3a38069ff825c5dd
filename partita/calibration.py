"""The command `partita calibrate`: measurements, of a profile, a table or this machine, into a Soc file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from partita import options as given
from partita.errors import SocError
from partita.files import checked_target, write_atomically
from partita.option_texts import parse_shapes

if TYPE_CHECKING:
    from partita.devices import Soc, Unit
    from partita.devices.profiles import Profile
    from partita.devices.soc import Latency

out = Console(soft_wrap=False)

EPILOG = (
    "Examples:\n\n    partita calibrate model.onnx --profile run.json --unit cpu --into mine.toml --soc sd8gen3-qnn\n\n"
    "    partita calibrate model.onnx --profile ops.csv --unit gpu --dtype float16 --into mine.toml --json\n\n"
    "    partita calibrate --data qed_e2e_real.csv --models qed --device 'Snapdragon 855' --runtime 'TFLite v2.10' "
    "--into fitted.toml\n\n"
    "    partita calibrate --host\n\n    partita calibrate --host --quick -o here.toml --with-onnxruntime"
)

Model = Annotated[
    str | None, typer.Argument(metavar="MODEL", help="The ONNX model that was profiled.", show_default=False)
]
ProfileFile = Annotated[
    str | None,
    typer.Option("--profile", metavar="FILE", help="What the profiler of a runtime wrote.", show_default=False),
]
UnitName = Annotated[
    str | None,
    typer.Option("--unit", metavar="UNIT", help="The unit of the Soc that was profiled.", show_default=False),
]
Into = Annotated[
    str | None,
    typer.Option("--into", metavar="FILE.toml", help="The Soc file that takes the entries.", show_default=False),
]
Dtype = Annotated[
    str | None,
    typer.Option("--dtype", help="What the unit computed in; its preferred type if not given.", show_default=False),
]
FormatName = Annotated[
    str | None,
    typer.Option("--format", metavar="FORMAT", help="Of the profile, if it is not recognised.", show_default=False),
]
Clock = Annotated[
    float | None,
    typer.Option("--clock-mhz", help="Of the unit, for a profile that counts clocks.", show_default=False),
]
Host = Annotated[bool, typer.Option("--host", help="Measure this machine, and write it as the preset `host`.")]
Output = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="FILE.toml", help="Where --host writes to.", show_default=False),
]
WithOrt = Annotated[
    bool, typer.Option("--with-onnxruntime", help="Also measure onnxruntime, as the preset `host-onnxruntime`.")
]
DataFile = Annotated[
    str | None,
    typer.Option("--data", metavar="TABLE", help="Fit a unit anew to a table of measurements.", show_default=False),
]
Models = Annotated[
    str | None,
    typer.Option("--models", metavar="DIR", help="Where NAME.onnx of the table's models lie.", show_default=False),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="The device or chip in the table.", show_default=False)
]
Runtime = Annotated[
    str | None, typer.Option("--runtime", metavar="NAME", help="The runtime in the table.", show_default=False)
]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer operators and repeats: under 20 seconds.")]
Seed = Annotated[int, typer.Option(help="Seed of the order and of the data.")]


def calibrate(  # noqa: PLR0913  (one parameter per option)
    model: Model = None,
    profile: ProfileFile = None,
    unit: UnitName = None,
    into: Into = None,
    soc: given.SocName = None,
    dtype: Dtype = None,
    shape: given.ShapeTexts = None,
    format_name: FormatName = None,
    clock_mhz: Clock = None,
    host: Host = False,
    output: Output = None,
    with_onnxruntime: WithOrt = False,
    quick: Quick = False,
    seed: Seed = 0,
    data: DataFile = None,
    models: Models = None,
    device: Device = None,
    runtime: Runtime = None,
    as_json: given.Json = False,
) -> None:
    """Put measurements into a Soc file: of a profile that a runtime wrote, of a published table, or of this machine."""
    if data is not None:
        _check_data_only(model, profile, unit, dtype, host=host)
        _from_table(data, into, models=models, device=device, runtime=runtime, soc=soc, as_json=as_json)
        return
    if any(each is not None for each in (models, device, runtime)):
        raise SocError("--models, --device and --runtime belong to --data TABLE")
    if host:
        _check_host_only(model, profile, unit, into, soc)
        _host(output, with_onnxruntime=with_onnxruntime, quick=quick, seed=seed, as_json=as_json)
        return
    if model is None or profile is None or unit is None or into is None:
        raise SocError(
            "calibrate needs a model, --profile FILE, --unit UNIT and --into FILE.toml; or --data TABLE and --into "
            "FILE.toml; or --host, for this machine"
        )
    if clock_mhz is not None and not clock_mhz > 0:
        raise SocError(f"--clock-mhz must be above 0, is {clock_mhz:g}")
    start, text = _start(into, soc)
    found = _read(profile, format_name, clock_mhz)
    _from_profile(model, parse_shapes(shape), found, Path(profile).name, start, text, (unit, dtype, into), as_json)


def _check_host_only(*others: object) -> None:
    if any(each is not None for each in others):
        raise SocError("--host measures this machine and takes no model, --profile, --unit, --into or --soc")


def _check_data_only(*others: object, host: bool) -> None:
    if host or any(each is not None for each in others):
        raise SocError("--data fits a table and takes no model, --profile, --unit, --dtype or --host")


def _from_table(table: str, into: str | None, **wanted: Any) -> None:
    from partita.calibrate_data import calibrate_from_table

    calibrate_from_table(table, into, **wanted)


def _start(into: str, soc: str | None) -> tuple["Soc", str]:
    """The Soc that takes the entries, and the text of its file as far as there is one."""
    from partita.devices import load_soc, preset_names
    from partita.devices.calibration.soc_text import assignments
    from partita.devices.load import named_file

    target = Path(into)
    if target.suffix != ".toml":
        raise SocError(f"--into {into!r}: Soc files end in .toml")
    checked_target(target)
    if target.exists():
        if soc is not None:
            raise SocError(f"{into} exists and is added to; leave --soc {soc} out, or name another file")
        return load_soc(target), target.read_text(encoding="utf-8")
    if soc is None:
        raise SocError(f"{into} does not exist yet: say with --soc NAME which Soc it starts from")
    device = load_soc(soc)
    if soc in preset_names():
        return device, assignments({"base": soc, "name": target.stem})
    return device, named_file(soc).read_text(encoding="utf-8")


def _read(path: str, format_name: str | None, clock_mhz: float | None) -> "Profile":
    """The profile in real time; SocError if it holds no operators, or clocks of unknown length."""
    from partita.devices.profiles import in_real_time, needs_clock, read_profile, with_clock

    profile = read_profile(path, format_name)
    if not profile.rows:
        raise SocError(f"{path}: gives the time of the whole model only; profile the operators too")
    if needs_clock(profile):
        if clock_mhz is None:
            raise SocError(f"{path}: counts clocks, not time; give the unit's clock with --clock-mhz")
        profile = with_clock(profile, clock_mhz, f"clocks counted as {clock_mhz:g} MHz")
    if profile.sum_us <= 0:
        raise SocError(f"{path}: no row has a time")
    return in_real_time(profile)


def _from_profile(  # noqa: PLR0913  (all that one calibration takes)
    model: str,
    shapes: dict[str, int | tuple[int, ...]],
    profile: "Profile",
    profile_name: str,
    device: "Soc",
    text: str,
    wanted: tuple[str, str | None, str],
    as_json: bool,
) -> None:
    from partita import api
    from partita.devices.calibration.entries import entries
    from partita.devices.profiles import FORMATS
    from partita.devices.profiles.matching import match_rows
    from partita.passes.find_matches import find_matches
    from partita.reports.calibration import Calibration, calibration_document, calibration_summary

    unit_name, dtype, into = wanted
    unit = device.unit_named(unit_name)
    dtype = _checked(dtype or unit.dtypes[0], unit)
    graph = api.load(model, shapes)
    matches = find_matches(graph)
    matching = match_rows(graph, profile, unit, dtype, matches)
    if not matching.timings:
        raise SocError(
            f"{profile_name}: none of its {len(profile.rows)} rows is an operator of {graph.name!r} that ran on a "
            f"{unit.kind}; is it the profile of this model, and --unit the unit that ran it?"
        )
    runs = f", median of {profile.runs} runs" if profile.runs > 1 else ""
    source = f"{profile_name}: {FORMATS[profile.format].title} of {graph.name}{runs}"
    made = entries(graph, matching.timings, unit, dtype, matches, source)
    _write(into, text, unit_name, made)
    result = Calibration(graph, profile, matching, unit_name, dtype, made, into)
    if as_json:
        typer.echo(json.dumps(calibration_document(result), indent=1, allow_nan=False))
        return
    out.print(calibration_summary(result))
    typer.echo(f"wrote {into}")


def _checked(dtype: str, unit: "Unit") -> str:
    known = (*unit.dtypes, *unit.optional_dtypes)
    if dtype not in known:
        raise SocError(f"unit {unit.name!r} does not compute in {dtype}; it does in: {', '.join(known)}")
    return dtype


def _write(into: str, text: str, unit: str, made: Sequence["Latency"]) -> None:
    """Writes the file; nothing is left behind if what it would hold is no Soc."""
    import tomllib

    from partita.devices.calibration.soc_text import keys_in, with_latencies
    from partita.devices.load import soc_from_text

    changed = with_latencies(text, unit, made, keys_in(tomllib.loads(text)))
    soc_from_text(changed, into)
    write_atomically(into, changed.encode())


def _host(output: str | None, *, with_onnxruntime: bool, quick: bool, seed: int, as_json: bool) -> None:
    from partita.host import calibrate_host
    from partita.reports.calibration import host_summary

    found = calibrate_host(output, with_onnxruntime=with_onnxruntime, quick=quick, seed=seed, quiet=as_json)
    if as_json:
        typer.echo(json.dumps(found, indent=1, allow_nan=False))
        return
    out.print(host_summary(found))
    for preset in found["presets"]:
        typer.echo(f"wrote {preset['written']}")
