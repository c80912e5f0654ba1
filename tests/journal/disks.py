"""A simulated disk: keeps written and durable data apart, and refuses effects on demand."""

import errno
import io
from pathlib import Path
from typing import BinaryIO

from rollout.journal.disk import Stat


class FaultyDisk:
    """Files by path. `fail(n, errno)` makes the n-th write or sync from now on refuse, for good."""

    inline = True

    def __init__(self) -> None:
        self.files: dict[Path, bytearray] = {}
        self.durable: dict[Path, bytes] = {}
        self.handles: dict[int, Path] = {}
        self.effects = 0
        self.log: list[str] = []
        self.space = 1 << 30
        self._fail_at = 0
        self._fail_with = 0
        self._fail_once = False

    def fail(self, at: int, number: int, *, once: bool = False) -> None:
        """Let the `at`-th effect from now on fail with this errno, and all later ones too."""
        self._fail_at, self._fail_with, self._fail_once = self.effects + at, number, once

    def crash(self, keep: int = 0) -> None:
        """Lose what was not durable, but for the first `keep` bytes of each file's rest."""
        for path, data in self.files.items():
            done = len(self.durable.get(path, b""))
            del data[done + keep :]
        self.handles.clear()
        self._fail_at = 0

    def link(self, source: Path, target: Path) -> None:
        self._effect("link")
        if target in self.files:
            raise FileExistsError(errno.EEXIST, "file exists")
        self.files[target] = self.files[source]

    def mkdir(self, path: Path) -> None:
        self._effect("mkdir")

    def fresh(self, path: Path) -> Path:
        return path.with_name(f".{path.name}.{self.effects}.new")

    def mkdir_new(self, path: Path) -> None:
        self._effect("mkdir_new")

    def discard(self, path: Path) -> None:
        self._effect("discard")
        for file in [path, *self._below(path)]:
            self.files.pop(file, None)

    def check_dir(self, path: Path) -> None:
        pass

    def names(self, path: Path) -> list[str]:
        parts = {str(file.relative_to(path)).split("/")[0] for file in self._below(path)}
        return sorted(parts)

    def read(self, path: Path) -> BinaryIO:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return io.BytesIO(bytes(self.files[path]))

    def save(self, path: Path, data: bytes) -> None:
        self._effect("save")
        self.files[path] = bytearray(data)
        self.durable[path] = data

    def replace(self, source: Path, target: Path) -> None:
        self._effect("replace")
        moved = [source] if source in self.files else self._below(source)
        for path in moved:
            name = target if path == source else target / path.relative_to(source)
            self.files[name] = self.files.pop(path)
            self.durable[name] = self.durable.pop(path, b"")

    def unlink(self, path: Path) -> None:
        self._effect("unlink")
        self.files.pop(path, None)

    def sync_dir(self, path: Path) -> None:
        self._effect("sync_dir")

    def reserve(self, path: Path, size: int) -> None:
        self._effect("reserve")
        self.files[path] = bytearray()

    def free(self, path: Path) -> int:
        return self.space

    def open(self, path: Path) -> int:
        self._effect("open")
        self.files.setdefault(path, bytearray())
        handle = len(self.log) + 1
        self.handles[handle] = path
        return handle

    def write(self, handle: int, data: memoryview) -> int:
        path = self.handles[handle]
        half = max(1, len(data) // 2)
        try:
            self._effect("write")
        except OSError as error:
            if error.errno == errno.EIO:
                self.files[path] += data[: half // 2]
            raise
        self.files[path] += data[:half]
        return half

    def fdatasync(self, handle: int) -> None:
        path = self.handles[handle]
        self._effect("fdatasync")
        self.durable[path] = bytes(self.files[path])

    def truncate(self, handle: int, size: int) -> None:
        self._effect("truncate")
        del self.files[self.handles[handle]][size:]

    def close(self, handle: int) -> None:
        del self.handles[handle]

    def open_lock(self, path: Path) -> int:
        return self.open(path)

    def seize(self, handle: int) -> bool:
        return True

    def held(self, path: Path) -> bool:
        return False

    def stat(self, path: Path) -> Stat | None:
        data = self.files.get(path)
        return None if data is None else Stat((0, id(data)), len(data))

    def fstat(self, handle: int) -> Stat:
        data = self.files[self.handles[handle]]
        return Stat((0, id(data)), len(data))

    def read_lock(self, handle: int) -> bytes:
        return bytes(self.files[self.handles[handle]])

    def text(self, path: Path) -> bytes:
        return bytes(self.files.get(path, b""))

    def write_lock(self, handle: int, text: bytes) -> None:
        self.files[self.handles[handle]][:] = text

    def _below(self, path: Path) -> list[Path]:
        return [file for file in self.files if path in file.parents]

    def _effect(self, name: str) -> None:
        self.effects += 1
        self.log.append(name)
        if self._fail_at and self.effects >= self._fail_at:
            if self._fail_once:
                self._fail_at = 0
            raise OSError(self._fail_with, "refused")
