"""A result folder appears whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tripoint.errors import OutputError
from tripoint.io.signals import endings_as_exceptions

# Names carry the machine too: on a shared file system the same process number lives on many.
_OWNER = f"{os.getpid()}@{socket.gethostname()}"


def check_output(path: str | Path, overwrite: bool = False) -> Path:
    """Make sure that a result can be written, before anything is computed.

    Returns
    -------
    Path
        The folder, absolute and without symbolic links.

    Raises
    ------
    OutputError
        The folder exists and ``overwrite`` is false, or it is not a result of tripoint, or the
        place cannot be written to.
    """
    target = Path(path).expanduser().resolve()
    _recover(target)
    if target.exists() and not target.is_dir():
        message = f"{target} is a file; choose a folder for the result"
        raise OutputError(message)
    if target.is_dir() and any(target.iterdir()):
        if not overwrite:
            message = f"{target} exists; choose another output or set overwrite=true"
            raise OutputError(message)
        if not _is_ours(target):
            message = (
                f"{target} is not a result of tripoint (it has no summary.json) and will not be overwritten; "
                "choose another output or remove it yourself"
            )
            raise OutputError(message)
    place = next(parent for parent in target.parents if parent.exists())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".tripoint-", dir=place))
    except OSError as error:
        raise OutputError(_explained(error, target)) from error
    return target


@contextmanager
def result_folder(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a hidden folder to write into, and rename it to ``path`` when all is written.

    On an exception, Ctrl-C or a termination signal the hidden folder is removed, and an older
    result stays as it was. What a killed process left is removed by the next one.

    Raises
    ------
    OutputError
        As :func:`check_output`, and when the disk is full or refuses while writing.
    """
    target = check_output(path, overwrite)
    made = [parent for parent in target.parents if not parent.exists()]
    partial = target.with_name(f".{target.name}.partial-{_OWNER}")
    with endings_as_exceptions():
        try:
            partial.mkdir(parents=True)
            yield partial
            _put_in_place(partial, target)
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(_explained(error, target)) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            for parent in made:  # those that stayed empty
                with suppress(OSError):
                    parent.rmdir()


def _is_ours(folder: Path) -> bool:
    """Whether a folder is a result, or a volume that tripoint wrote, and so may be overwritten."""
    group = folder / "zarr.json"
    return (folder / "summary.json").is_file() or (group.is_file() and '"tripoint"' in group.read_text())


def _put_in_place(partial: Path, target: Path) -> None:
    """Rename new for old so that a kill at any moment leaves one of both."""
    if not target.exists():
        partial.rename(target)
        return
    aside = target.with_name(f".{target.name}.replaced-{_OWNER}")
    target.rename(aside)
    try:
        partial.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _recover(target: Path) -> None:
    """Clear away what dead processes of this machine left, after putting back an old result they moved."""
    if not target.parent.is_dir():
        return
    pattern = re.compile(
        rf"\.{re.escape(target.name)}\.(partial|replaced)-(\d+)@{re.escape(socket.gethostname())}"
    )
    for left in target.parent.iterdir():
        match = pattern.fullmatch(left.name)
        if match is None or (psutil.pid_exists(int(match[2])) and int(match[2]) != os.getpid()):
            continue
        if match[1] == "replaced" and not target.exists():
            left.rename(target)
        else:
            shutil.rmtree(left, ignore_errors=True)


def _explained(error: OSError, target: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"there is no space left for {target}; free some or choose another output, nothing was written"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{target} cannot be written ({error.strerror}); choose a folder that you may write to"
    reason = error.strerror or str(error)
    return f"{target} cannot be written ({reason}); choose another output, nothing was written"
