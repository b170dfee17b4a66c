"""A Redis on a disk that forgets: what was not synced when the power went is gone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from support.redis_server import RedisServer


def built(directory: Path) -> Path:
    """The shim as a library; a missing compiler is a failure."""
    library = directory / "powercut.so"
    source = Path(__file__).with_name("powercut.c")
    compiler = shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("gcc is needed to build the disk that forgets")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(source), "-ldl"], check=True
    )
    return library


class ForgetfulRedis(RedisServer):
    """`cut` is kill -9 and the loss of everything that was written after the last sync."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.shim = built(directory)
        self.synced = directory / "synced.log"
        super().__init__(directory, *options)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"LD_PRELOAD": str(self.shim), "POWERCUT_LOG": str(self.synced)}

    def cut(self) -> int:
        """Bytes that were lost."""
        self.kill()
        known = _last_sizes(self.synced)
        lost = 0
        for file in sorted(self.directory.rglob("*.aof")):
            size, synced = file.stat().st_size, known.get(str(file), 0)
            if size > synced:
                lost += size - synced
                os.truncate(file, synced)
        self.synced.unlink(missing_ok=True)
        for path, size in known.items():  # what was synced once stays so after the restart
            if Path(path).exists():
                with self.synced.open("a") as log:
                    log.write(f"{path}\t{size}\n")
        return lost


def _last_sizes(log: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    if log.exists():
        for line in log.read_text().splitlines():
            path, _, size = line.rpartition("\t")
            if path and size.isdigit():
                sizes[path] = int(size)
    return sizes
