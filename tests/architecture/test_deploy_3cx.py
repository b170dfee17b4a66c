"""The CRM template for 3CX names what the preset reads. That 3CX itself takes the template is not known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from callbridge.call import CallStatus, Direction
from callbridge.intake.providers import provider_named
from callbridge.intake.providers.base import Finished
from callbridge.presets.expressions import Path as Place
from callbridge.presets.expressions import walk
from callbridge.presets.load import load
from support.webhooks import a_request, a_source

FOLDER = Path(__file__).parents[2] / "deploy" / "3cx"
TOLD = {
    "[CallType]": "Inbound",
    "[CallDirection]": "Inbound",
    "[Number]": "+4930555012",
    "[Agent]": "207",
    "[AgentEmail]": "ann@acme.example",
    "[QueueExtension]": "",
    '[[[DurationTimespan].get_TotalSeconds()].ToString("F0")]': "42",
    "[Duration]": "00:00:42",
    '[[CallStartTimeUTC].ToString("yyyy-MM-ddTHH:mm:ssZ")]': "2026-09-21T14:13:30Z",
    "[RecordingUrl]": "https://pbx.acme.example/1.wav",
}
"""What 3CX would put in place of its variables."""


def journal() -> ET.Element:
    root = ET.parse(FOLDER / "callbridge.xml").getroot()  # noqa: S314 - our own file
    (scenario,) = (each for each in root.iter("Scenario") if each.attrib["Id"] == "ReportCall")
    request = scenario.find("Request")
    assert request is not None
    return request


def values(of: str) -> dict[str, str]:
    found = journal().find(of)
    assert found is not None
    return {value.attrib["Key"]: value.text or "" for value in found}


@pytest.mark.parametrize(
    ("changes", "direction", "status", "talk"),
    [
        ({}, Direction.INBOUND, CallStatus.ANSWERED, 42),
        ({"[CallType]": "Missed"}, Direction.INBOUND, CallStatus.NO_ANSWER, 0),
        ({"[CallType]": "Outbound", "[CallDirection]": "Outbound"}, Direction.OUTBOUND, CallStatus.ANSWERED, 42),
        ({"[CallType]": "Notanswered", "[CallDirection]": ""}, Direction.OUTBOUND, CallStatus.NO_ANSWER, 0),
    ],
)
def test_what_the_template_posts_is_a_call(
    changes: dict[str, str], direction: Direction, status: CallStatus, talk: int
) -> None:
    told = TOLD | changes
    body = json.dumps({key: told[variable] for key, variable in values("PostValues").items()}).encode()
    headers = {key: text.replace("[Secret]", "tcx-1") for key, text in values("Headers").items()}
    source = a_source(provider="preset:3cx", secrets=("tcx-1",))
    provider, request = provider_named("preset:3cx"), a_request(body, headers)
    provider.verify(request, source, 1_790_000_100.0)
    (event,) = provider.parse(request, source, 1_790_000_100.0)
    assert isinstance(event, Finished)
    call = event.call
    assert (call.direction, call.status, call.duration) == (direction, status, talk)
    assert (call.phone, call.extension, call.started_at) == ("+4930555012", "207", 1_790_000_010)
    assert call.link == "https://pbx.acme.example/1.wav"


def test_the_template_posts_all_that_the_id_of_a_call_is_made_of() -> None:
    ref = load("preset:3cx").map.ref
    fields = {str(each.steps[0]) for each in walk(ref) if isinstance(each, Place)} - {"Id", "id"}
    assert fields == {"startTimeUtc", "agentExtension", "number", "callType"}
    assert fields <= values("PostValues").keys()


def test_every_variable_of_the_template_is_one_of_3cx_or_a_parameter_of_its_own() -> None:
    root = ET.parse(FOLDER / "callbridge.xml").getroot()  # noqa: S314 - our own file
    own = {f"[{parameter.attrib['Name']}]" for parameter in root.iter("Parameter")}
    assert own == {"[Address]", "[Secret]", "[ReportCallEnabled]"}
    assert journal().attrib["Url"] == "[Address]"
    assert set(values("PostValues").values()) == TOLD.keys()


def test_the_readme_tells_the_fields_that_are_posted() -> None:
    rows = [line.split("|")[1] for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} | {"queueExtension"} == values(
        "PostValues"
    ).keys()
