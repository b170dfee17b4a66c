"""Calls into a file: CSV, JSON lines or Parquet, chunk by chunk, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Self, assert_never

from callbridge.errors import CallbridgeError, Misconfigured
from callbridge.ledger.views import CallRow
from callbridge.ops import exporting


class Form(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class Sheet:
    """A file that grows by chunks of rows. A file that was there is replaced only once the new one is whole."""

    def __init__(self, form: Form, output: Path | None, *, whole_numbers: bool) -> None:
        self._form = form
        self._output = output
        self._whole_numbers = whole_numbers
        self._part = _beside(output) if output else None
        self._out: BinaryIO | None = None
        self._parquet: Any = None
        self._begun = False

    def __enter__(self) -> Self:
        if self._part is None:
            self._out = sys.stdout.buffer
            return self
        with self._in_words():
            self._out = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            if failed is None:
                self._finish()
        finally:
            if self._part is not None and self._out is not None:
                with contextlib.suppress(OSError):  # what could not be written cannot be flushed either
                    if failed is not None and self._parquet is not None:
                        self._parquet.close()
                with contextlib.suppress(OSError):
                    self._out.close()
                if self._part != self._output:
                    self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        if not self._begun:
            self.write([])
        if self._parquet is not None:
            self._parquet.close()
        if self._part is None or self._output is None or self._out is None:
            return
        with self._in_words():
            self._out.flush()
            if self._part != self._output:
                os.fsync(self._out.fileno())
                self._part.replace(self._output)

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """A full disk is nobody's bug. A reader of standard output that went away is somebody else's to tell."""
        try:
            yield
        except OSError as error:
            if self._part is None:
                raise
            raise CallbridgeError(f"cannot write {self._output}: {error.strerror or error}") from error

    def write(self, rows: Sequence[CallRow]) -> None:
        out = self._out
        if out is None:
            return
        first, self._begun = not self._begun, True
        with self._in_words():
            self._write(rows, out, head=first)

    def _write(self, rows: Sequence[CallRow], out: BinaryIO, *, head: bool) -> None:
        match self._form:
            case Form.CSV:
                out.write(exporting.csv_lines(rows, whole_numbers=self._whole_numbers, head=head).encode("utf-8"))
            case Form.JSONL:
                out.write(exporting.json_lines(rows, whole_numbers=self._whole_numbers))
            case Form.PARQUET:
                self._write_parquet(rows, out)
            case _:
                assert_never(self._form)

    def _write_parquet(self, rows: Sequence[CallRow], out: BinaryIO) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415 - an extra: tens of megabytes that few need
            from pyarrow import parquet  # noqa: PLC0415 - as above
        except ModuleNotFoundError as error:
            raise Misconfigured("Parquet needs the extra: pip install 'callbridge[parquet]'") from error
        kinds = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}
        schema = pa.schema([(name, kinds[kind]) for name, kind in exporting.KINDS.items()])
        if self._parquet is None:
            self._parquet = parquet.ParquetWriter(out, schema)
        columns = exporting.columns_of(rows, whole_numbers=self._whole_numbers)
        self._parquet.write_table(pa.table(columns, schema=schema))


def _beside(output: Path) -> Path:
    """Where it grows: beside the file that it will replace; a pipe or a device is written to itself."""
    if output.is_dir() or not output.name:
        raise CallbridgeError(f"cannot write {output}: it is a directory")
    if output.exists() and not output.is_file():
        return output
    return output.with_name(f".{output.name}.{os.getpid()}.part")
