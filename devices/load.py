"""TOML files -> Soc, support rules and fusion rules: the presets in this package, and the user's own files."""

import json
import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from partita.devices.compose import BASE, composed
from partita.devices.latency_table import with_units
from partita.devices.soc import Soc
from partita.errors import SocError

FOLDER = Path(__file__).resolve().parent
OF_ONE_CHIP = ("power", "thermal", "sharing", "co_execution")
"""Tables that a file takes over from a preset only if it has a table of that name itself."""
PARTS = ("chips", "runtimes")
"""Folders of files that hold a part of a Soc each."""
LAW_FILE = ".json"
"""How a unit's `law` ends that is a file of the user's own, and not the name of one in this package."""
LARGEST_FILE_BYTES = 4_000_000
"""No Soc, support or fusion file comes near this; a bigger one is something else."""


def preset_names() -> tuple[str, ...]:
    """Names of the Socs in this package, sorted."""
    return names_in("presets")


def part_names() -> tuple[str, ...]:
    """Chips and runtimes, of which Soc files may be composed: "chips/rpi5"."""
    return tuple(f"{folder}/{name}" for folder in PARTS for name in names_in(folder))


def names_in(folder: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (FOLDER / folder).glob("*.toml")))


def load_soc(name_or_path: str | Path) -> Soc:
    """The preset of that name, or the Soc in that file; SocError says what is wrong with it and where."""
    text = str(name_or_path)
    if text in preset_names():
        return _preset(text)
    return soc_from_toml(named_file(name_or_path))


def named_file(name_or_path: str | Path) -> Path:
    """The user's own file of that name (see `user_folder`), or at that path; SocError if it is neither."""
    text = str(name_or_path)
    if text in user_preset_names():
        return user_folder() / f"{text}.toml"
    if isinstance(name_or_path, str) and not text.endswith(".toml") and "/" not in text and "\\" not in text:
        known = ", ".join((*preset_names(), *user_preset_names()))
        hint = "; `partita calibrate --host` writes it" if text.startswith("host") else ""
        raise SocError(f"there is no preset {text!r}; presets: {known}; or give the path of a .toml file{hint}")
    return Path(name_or_path)


def user_folder() -> Path:
    """Where a user's own presets lie: $PARTITA_PRESETS, else partita/presets in the user's data folder."""
    given = os.environ.get("PARTITA_PRESETS")
    if given:
        return Path(given)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "partita" / "presets"


def user_preset_names() -> tuple[str, ...]:
    """Names of the user's own presets, sorted."""
    return tuple(sorted(path.stem for path in user_folder().glob("*.toml")))


@cache
def contention_soc(name: str) -> Soc:
    """A chip of which how its units share the memory was measured, but not what they compute; no preset."""
    return soc_from_toml(FOLDER / "contention" / f"{name}.toml", shown=f"contention {name}")


@cache
def _preset(name: str) -> Soc:
    return soc_from_toml(FOLDER / "presets" / f"{name}.toml", shown=f"preset {name}")


def soc_from_toml(path: Path, shown: str | None = None) -> Soc:
    return _soc(read_toml(path, shown), path, shown)


def soc_from_text(text: str, path: str | Path) -> Soc:
    """The Soc that a text would be as the file at `path`."""
    return _soc(tomllib.loads(text), Path(path), None)


def _soc(content: dict[str, Any], path: Path, shown: str | None) -> Soc:
    content = with_units(_with_base(content, shown or str(path), path.parent, (path.resolve(),)), shown or str(path))
    soc = Soc.from_json(as_json(content), where=shown or str(path))
    for unit in soc.units:
        for folder, name in (("support", unit.support), ("fusions", unit.fusions)):
            file = name.partition(":")[0]  # a generation may follow, as in "qnn-htp:v75"
            if not file.endswith(".toml") and file not in names_in(folder):
                known = ", ".join(names_in(folder))
                raise SocError(f"{shown or path}: units[{unit.name}].{folder} is {name!r}; known: {known}")
    return soc


def _with_base(content: dict[str, Any], where: str, folder: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """The content on top of the files that its field `base` names, the later over the earlier; `above` use it."""
    content = _with_whole_paths(content, folder)
    named = content.get(BASE)
    if named is None:
        return content
    names = named if isinstance(named, list) and named else [named]
    result: dict[str, Any] = {}
    for name in names:
        path, shown = _base_file(name, where, folder)
        if path in above:
            raise SocError(f"{where}: {BASE} is {name!r}, which builds on this very file; name another")
        below = _with_base(read_toml(path, shown), shown, path.parent, (*above, path))
        is_part = path.parent.name in PARTS
        kept = {key: value for key, value in below.items() if is_part or key not in OF_ONE_CHIP or key in content}
        result = composed(result, kept)
    return composed(result, content)


def _with_whole_paths(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The content with the units' laws that are files, as paths from the folder of the Soc file, as whole paths."""
    units = content.get("units")
    if not isinstance(units, list):
        return content
    return {**content, "units": [_with_whole_path(unit, folder) for unit in units]}


def _with_whole_path(unit: Any, folder: Path) -> Any:
    law = unit.get("law") if isinstance(unit, dict) else None
    if not isinstance(law, str) or not law.endswith(LAW_FILE):
        return unit
    return {**unit, "law": str((folder / law).resolve())}


def _base_file(name: Any, where: str, folder: Path) -> tuple[Path, str]:
    """A preset by its name, a part of one by its folder and name (chips/rpi5), or a file by its path from `folder`."""
    if isinstance(name, str) and name.endswith(".toml"):
        return (folder / name).resolve(), name
    if name in preset_names():
        return FOLDER / "presets" / f"{name}.toml", f"preset {name}"
    if name in part_names():
        return FOLDER / f"{name}.toml", f"{name}.toml"
    known = f"presets: {', '.join(preset_names())}; parts: {', '.join(part_names())}"
    raise SocError(f"{where}: {BASE} is {name!r}, which is no preset; {known}; or the path of a .toml file")


def data_file(folder: str, name: str) -> tuple[Path, str]:
    """The support or fusion file of that name, or the file at that path, and how to call it in a message."""
    if name.endswith(".toml"):
        return Path(name), name
    if name not in names_in(folder):
        raise SocError(f"there is no {folder} file {name!r}; known: {', '.join(names_in(folder))}")
    return FOLDER / folder / f"{name}.toml", f"{folder}/{name}.toml"


def read_toml(path: Path, shown: str | None = None) -> dict[str, Any]:
    """The content of a TOML file; SocError, naming the file, if there is none or it cannot be read."""
    shown = shown or str(path)
    try:
        if path.exists() and not path.is_file():
            raise SocError(f"{shown}: is a folder or a device; a .toml file was expected")
        if path.exists() and path.stat().st_size > LARGEST_FILE_BYTES:
            raise SocError(f"{shown}: has more than {LARGEST_FILE_BYTES} bytes; this is no file of this kind")
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise SocError(f"{shown}: byte {error.start} is not UTF-8; TOML files are UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SocError(f"{shown}: cannot be read: {reason.lower()}") from None
    if not text.strip():
        raise SocError(f"{shown}: the file is empty")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SocError(f"{shown}: not a TOML file: {error}") from None


def as_json(content: dict[str, Any]) -> str:
    """TOML content as JSON, for strict validation; dates become text, which no field takes for a number."""
    return json.dumps(content, default=str)
