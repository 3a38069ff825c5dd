"""Writing a result so that a reader finds either the whole of it or nothing."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from partita.errors import OutputError

READABLE_BY_ALL = 0o666


def write_atomically(path: str | Path, content: bytes) -> None:
    """Put `content` at `path` by writing beside it and renaming; OutputError if that is not possible.

    A link is written through; what is no ordinary file, such as a device or a pipe, is written to as it is.
    """
    target = checked_target(path)
    if target.exists() and not target.is_file():
        _write_to(target, content)
        return
    beside = None
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(beside, _mode_of(target))
        os.replace(beside, target)
        beside = None
    except OSError as error:
        raise _cannot(path, error) from None
    finally:
        if beside is not None:
            Path(beside).unlink(missing_ok=True)


def check_outputs(paths: Iterable[str | Path | None], inputs: Iterable[str | Path] = ()) -> None:
    """OutputError if one of the files could not be written, stands twice, or would replace one of the inputs.

    Commands call it before they begin, so that nothing is left half done.
    """
    taken = {Path(path).resolve(): "is read by this very command" for path in inputs}
    for path in paths:
        if path is None:
            continue
        target = checked_target(path)
        is_device = target.exists() and not target.is_file()
        if target in taken and not is_device:
            raise OutputError(f"cannot write {str(path)!r}: it {taken[target]}; give another name")
        taken[target] = "is to be written twice"


def checked_target(path: str | Path) -> Path:
    """The file that a path leads to, through links; OutputError if nothing can be written there."""
    try:
        target = Path(path).resolve()
        if target.is_dir():
            raise OutputError(f"cannot write {str(path)!r}: it is a folder; give a file name")
        if not target.parent.is_dir():
            raise OutputError(f"cannot write {str(path)!r}: there is no folder {str(target.parent)!r}; make it first")
        if not os.access(target if target.exists() else target.parent, os.W_OK):
            raise OutputError(f"cannot write {str(path)!r}: permission denied; choose a folder that is writable")
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the path; a loop of links
        raise _cannot(path, error) from None
    return target


def _write_to(target: Path, content: bytes) -> None:
    try:
        with target.open("wb") as file:
            file.write(content)
    except OSError as error:
        raise _cannot(target, error) from None


def _cannot(path: str | Path, error: Exception) -> OutputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return OutputError(f"cannot write {str(path)!r}: {reason}; choose a folder that exists and is writable")


def _mode_of(target: Path) -> int:
    """The mode of the file to be replaced, or what the process gives to any new file."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return READABLE_BY_ALL & ~mask
