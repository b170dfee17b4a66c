"""Calls into a file: CSV, JSON lines or Parquet, chunk by chunk, and whole or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Self

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
        self._part = output.with_name(f".{output.name}.part") if output else None
        self._out: BinaryIO | None = None
        self._parquet: Any = None
        self._begun = False

    def __enter__(self) -> Self:
        try:
            self._out = (
                os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
                if self._part
                else sys.stdout.buffer
            )
        except OSError as error:
            raise CallbridgeError(f"cannot write {self._output}: {error.strerror}") from error
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if not failed and not self._begun:
            self.write([])
        if self._parquet is not None:
            self._parquet.close()
        if self._part is None or self._output is None or self._out is None:
            return
        self._out.close()
        if failed:
            self._part.unlink(missing_ok=True)
        else:
            self._part.replace(self._output)

    def write(self, rows: Sequence[CallRow]) -> None:
        out = self._out
        if out is None:
            return
        first, self._begun = not self._begun, True
        match self._form:
            case Form.CSV:
                out.write(exporting.csv_lines(rows, whole_numbers=self._whole_numbers, head=first).encode("utf-8"))
            case Form.JSONL:
                out.write(exporting.json_lines(rows, whole_numbers=self._whole_numbers))
            case Form.PARQUET:
                self._write_parquet(rows, out)

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
