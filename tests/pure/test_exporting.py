"""Whatever a caller is called, no cell of an export is a formula, and every value is read back as it was."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.ledger.views import CallRow
from callbridge.ops.exporting import COLUMNS, TRIGGERS, cell, csv_lines, json_lines

ROW = CallRow(
    id="1ngabc", state="dead", account="main", source="office", provider="generic", uniq="office-x", direction="inbound",
    phone="+79031112233", duration=12, started_at=1_790_000_000, received_at=1_790_000_012.5, attempts=1,
    reason="refused_by_crm", entity_type=None, entity_id=None, note_id=None, updated_at=1_790_000_020.0, ref="r1",
    call_status="answered", link=None, detail="-1 is not allowed", duplicates=0, variants=0,
)  # fmt: skip


def read_back(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@given(text=st.text(max_size=60))
def test_no_cell_begins_like_a_formula(text: str) -> None:
    [[*cells]] = read_back(csv_lines([replace(ROW, detail=text, result=text, ref=text)], whole_numbers=True))
    for value in cells:
        assert not value.lstrip(" ").startswith(tuple(TRIGGERS))


@given(text=st.text(max_size=60, alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_what_was_written_is_read_back(text: str) -> None:
    [[*cells]] = read_back(csv_lines([replace(ROW, detail=text)], whole_numbers=True))
    found = cells[COLUMNS.index("detail")]
    assert found in {text, f"'{text}"}
    assert orjson.loads(json_lines([replace(ROW, detail=text)], whole_numbers=True))["detail"] == text


@pytest.mark.parametrize("trigger", TRIGGERS.replace("\0", ""))
def test_each_beginning_of_a_formula_is_made_text(trigger: str) -> None:
    assert cell(f"{trigger}cmd|' /C calc'!A0").startswith("'")
    assert cell(f"  {trigger}1").startswith("'")


def test_a_number_stays_whole_when_it_is_asked_for() -> None:
    place = COLUMNS.index("phone")
    assert read_back(csv_lines([ROW], whole_numbers=True))[0][place] == "'+79031112233"
    assert orjson.loads(json_lines([ROW], whole_numbers=True))["phone"] == "+79031112233"


def test_a_number_is_masked_otherwise() -> None:
    text = csv_lines([ROW], whole_numbers=False) + json_lines([ROW], whole_numbers=False).decode()
    assert "79031112233" not in text


def test_negative_numbers_of_our_own_are_numbers() -> None:
    assert cell(-5) == "-5"


def test_the_head_names_every_column() -> None:
    head, row = read_back(csv_lines([ROW], whole_numbers=False, head=True))
    assert tuple(head) == COLUMNS
    assert len(row) == len(COLUMNS)
    assert row[COLUMNS.index("received_at")] == "2026-09-21T14:13:32+00:00"
