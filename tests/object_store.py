"""An object store whose filesystem is asynchronous, as those of s3fs, gcsfs and adlfs are.

Objects lie in a folder, so that all processes see them.  The filesystem runs on the loop of the process that
made it, and refuses every other: `fsspec.asyn.AsyncFileSystem.loop`.
"""

import io
import os
from pathlib import Path

import fsspec
from fsspec.asyn import AsyncFileSystem


class Bucket(AsyncFileSystem):
    protocol = "bucket"

    @classmethod
    def _strip_protocol(cls, path):
        return str(path).removeprefix("bucket://").rstrip("/")

    async def _cat_file(self, path, start=None, end=None, **_):
        return Path(self._strip_protocol(path)).read_bytes()[start:end]

    async def _pipe_file(self, path, value, **_):
        file = Path(self._strip_protocol(path))
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        beside.write_bytes(value)
        beside.replace(file)

    async def _put_file(self, lpath, rpath, **_):
        await self._pipe_file(rpath, Path(lpath).read_bytes())

    async def _rm_file(self, path, **_):
        Path(self._strip_protocol(path)).unlink()

    async def _info(self, path, **_):
        path = self._strip_protocol(path)
        found = os.stat(path)
        kind = "directory" if os.path.isdir(path) else "file"
        return {"name": path, "size": found.st_size, "type": kind, "mtime": found.st_mtime}

    async def _ls(self, path, detail=True, **_):
        entries = [await self._info(entry.path) for entry in os.scandir(self._strip_protocol(path))]
        return entries if detail else [entry["name"] for entry in entries]

    def _open(self, path, mode="rb", **_):
        return io.BytesIO(self.cat_file(path))  # through the loop, as ranges of objects are


def address(folder):
    """Return the address of a bucket whose objects lie in a folder."""
    return f"bucket://{folder}"


fsspec.register_implementation("bucket", Bucket)
