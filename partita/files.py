"""Writing a result so that a reader finds either the whole of it or nothing."""

import os
import tempfile
from pathlib import Path

from partita.errors import OutputError

READABLE_BY_ALL = 0o666


def write_atomically(path: str | Path, content: bytes) -> None:
    """Put `content` at `path` by writing beside it and renaming; OutputError if that is not possible."""
    target = Path(path)
    beside = None
    try:
        if target.is_dir():
            raise OutputError(f"cannot write {str(target)!r}: it is a folder; give a file name")
        descriptor, beside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(beside, _mode_of(target))
        os.replace(beside, target)
        beside = None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OutputError(
            f"cannot write {str(target)!r}: {reason}; choose a folder that exists and is writable"
        ) from None
    finally:
        if beside is not None:
            Path(beside).unlink(missing_ok=True)


def _mode_of(target: Path) -> int:
    """The mode of the file to be replaced, or what the process gives to any new file."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return READABLE_BY_ALL & ~mask
