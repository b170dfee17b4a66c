"""A real PostgreSQL for tests: own directory, loopback and a random port, no fsync; and it can be killed."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from support.redis_server import free_port

_WANTED = "PostgreSQL's server is needed for the ledger's tests: apt-get install postgresql (any version from 13 on)"


class PostgresServer:
    """Starts at once; raises when it cannot: a test without its server is a failure."""

    user = "ledger"
    password = "p@ss/w:rd"  # each of its signs has to be escaped in a URL

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self._as: list[str] = []
        if os.geteuid() == 0:  # the server refuses to run as root
            self._as = _as_postgres(directory)
        password = directory / "password"
        password.write_text(self.password)
        if self._as:
            shutil.chown(password, "postgres")
        self._run(
            "initdb", "-D", f"{directory}/data", "-U", self.user, "--pwfile", str(password), "-A", "scram-sha-256",
            "-E", "UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        command = [
            *self._as, _binary("postgres"), "-D", f"{self.directory}/data", "-p", str(self.port), "-h", "127.0.0.1",
            "-k", str(self.directory), "-F", "-c", "full_page_writes=off", "-c", "synchronous_commit=off",
            "-c", "max_connections=50", "-c", "shared_buffers=64MB", "-c", "autovacuum=off",
        ]  # fmt: skip
        with (self.directory / "postgres.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + 30
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"postgres did not start: {(self.directory / 'postgres.log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """At once, as a crash would; it recovers when it is started again."""
        self._stop(signal.SIGQUIT)

    def stop(self) -> None:
        self._stop(signal.SIGINT)

    def _stop(self, how: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _answers(self) -> bool:
        probe = [_binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._as, _binary(program), *arguments], check=False, capture_output=True, text=True, cwd="/"
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr[-2000:]}")


def _as_postgres(directory: Path) -> list[str]:
    """What to put in front of a command so that it runs as the user `postgres`, to whom `directory` then belongs."""
    try:
        pwd.getpwnam("postgres")
    except KeyError as error:
        raise RuntimeError(f"{_WANTED}; running as root, the user postgres is needed too") from error
    if not (setpriv := shutil.which("setpriv")):
        raise RuntimeError("running as root, setpriv (util-linux) is needed for PostgreSQL, which refuses to run so")
    shutil.chown(directory, "postgres")
    return [setpriv, "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]


def _binary(name: str) -> str:
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    if found := str(installed[-1]) if installed else shutil.which(name):
        return found
    raise RuntimeError(_WANTED)
