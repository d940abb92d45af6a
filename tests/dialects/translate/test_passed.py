"""GetChargingProfiles of a station that tells none: what the CSMS gave, as long as it can hold."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.dialects.translate import passed
from gateway.dialects.translate.base import Facts, HeldProfile, Reply, encode
from gateway.model.profile import ChargingProfile, Kind, LimitSource, Period, Purpose, RateUnit, Schedule
from gateway.model.token import IdToken
from tests.dialects.translate.command_rig import NOW, UUID, answer, error, facts_for, run
from tests.dialects.translate.pipe import Pipe

ACCEPTED = answer({"status": "Accepted"})
TX, DEFAULT, MOST = "TxProfile", "TxDefaultProfile", "ChargingStationMaxProfile"


def _profile(number: int, purpose: str = DEFAULT, level: int = 0, **more: Any) -> Any:
    periods = [{"startPeriod": 0, "limit": 16.123456}]
    schedule = {"id": 7, "chargingRateUnit": "A", "chargingSchedulePeriod": periods}
    return {"id": number, "stackLevel": level, "chargingProfilePurpose": purpose, "chargingProfileKind": "Absolute",
            "chargingSchedule": [schedule], **more}  # fmt: skip


class _Csms:
    """Sends commands to one station, and hears its reports."""

    def __init__(self, csms: str = "2.0.1") -> None:
        self.facts = facts_for("1.6", csms)
        self.now = NOW

    def say(self, action: str, payload: Any, outcome: Any = ACCEPTED) -> Reply | None:
        found = run(action, payload, replace(self.facts, now=self.now), lambda command: outcome)
        self.facts = replace(self.facts, memory=found.memory)
        return found.reply if isinstance(found.reply, Reply) else None

    def set(self, evse: int, profile: Any, outcome: Any = ACCEPTED) -> None:
        self.say("SetChargingProfile", {"evseId": evse, "chargingProfile": profile}, outcome)

    def get(self, evse: int | None = None, **criteria: Any) -> list[tuple[int, int]]:
        """EVSE and id of what is reported."""
        return [(evse_of, one["id"]) for evse_of, _, one in self.reported(evse, **criteria)]

    def reported(self, evse: int | None = None, **criteria: Any) -> list[tuple[int, str, Any]]:
        asked: Any = {"requestId": 5, "chargingProfile": criteria, **({} if evse is None else {"evseId": evse})}
        reply = self.say("GetChargingProfiles", asked)
        assert reply is not None
        parts: list[Any] = [one.payload for one in reply.then]
        assert reply.payload == {"status": "Accepted" if parts else "NoProfiles"}
        assert [part["tbc"] for part in parts] == [True] * (len(parts) - 1) + [False] * bool(parts)
        assert all(part["requestId"] == 5 for part in parts)
        return [(part["evseId"], part["chargingLimitSource"], one) for part in parts for one in part["chargingProfile"]]


def _csms_with_profiles() -> _Csms:
    csms = _Csms()
    csms.set(0, _profile(1, MOST))
    csms.set(0, _profile(2))
    csms.set(1, _profile(3))
    csms.set(1, _profile(4, level=2))
    csms.set(2, _profile(5, validTo="2026-03-01T09:00:00Z"))
    csms.set(1, _profile(6, TX, transactionId=UUID))
    return csms


ALL = [(0, 1), (0, 2), (1, 3), (1, 4), (1, 6), (2, 5)]


def test_a_profile_is_reported_as_the_csms_gave_it() -> None:
    csms, given = _Csms(), _profile(3, TX, transactionId=UUID, validFrom="2026-03-01T08:00:00.000+01:00")
    csms.set(1, given)
    ((evse, source, told),) = csms.reported()
    assert (evse, source, encode(told)) == (1, "CSO", encode(given))


@pytest.mark.parametrize(
    ("evse", "criteria", "found"),
    [
        (None, {}, ALL),
        (1, {}, [(1, 3), (1, 4), (1, 6)]),
        (0, {}, [(0, 1), (0, 2)]),
        (None, {"chargingProfilePurpose": DEFAULT, "stackLevel": 0}, [(0, 2), (1, 3), (2, 5)]),
        (None, {"chargingProfileId": [4, 99, 1]}, [(0, 1), (1, 4)]),
        (None, {"chargingLimitSource": ["EMS"]}, []),
        (1, {"chargingLimitSource": ["EMS", "CSO"], "chargingProfilePurpose": TX}, [(1, 6)]),
        (3, {}, []),
    ],
)
def test_what_is_asked_for_is_reported(evse: int | None, criteria: Any, found: list[tuple[int, int]]) -> None:
    assert _csms_with_profiles().get(evse, **criteria) == found


@pytest.mark.parametrize(
    ("payload", "status", "gone"),
    [
        ({"chargingProfileId": 4}, "Accepted", {4}),
        ({"chargingProfileId": 4}, "Unknown", {4}),
        ({"chargingProfileId": 9}, "Unknown", set()),
        ({"chargingProfileCriteria": {"evseId": 1}}, "Accepted", {3, 4, 6}),
        ({"chargingProfileCriteria": {"chargingProfilePurpose": DEFAULT, "stackLevel": 0}}, "Accepted", {2, 3, 5}),
        ({"chargingProfileCriteria": {"chargingProfilePurpose": "ChargingStationExternalConstraints"}}, "", set()),
        ({}, "Accepted", {1, 2, 3, 4, 5, 6}),
    ],
)
def test_what_is_cleared_is_gone(payload: Any, status: str, gone: set[int]) -> None:
    csms = _csms_with_profiles()
    csms.say("ClearChargingProfile", payload, answer({"status": status}))
    assert csms.get() == [one for one in ALL if one[1] not in gone]


def test_what_the_station_did_not_take_is_not_there_and_what_it_did_not_clear_is() -> None:
    csms = _csms_with_profiles()
    for number, outcome in enumerate((answer({"status": "Rejected"}), error("InternalError"), error("NotSupported"))):
        csms.set(2, _profile(20 + number, level=number), outcome)
    csms.say("ClearChargingProfile", {"chargingProfileId": 1}, error("GenericError"))
    assert csms.get() == ALL


def test_a_profile_takes_the_place_of_its_id_and_of_its_stack_level() -> None:
    csms = _csms_with_profiles()
    csms.set(2, _profile(3, level=8))
    csms.set(1, _profile(40, level=2))
    assert csms.get() == [(0, 1), (0, 2), (1, 6), (1, 40), (2, 5), (2, 3)]


def test_time_and_the_end_of_its_transaction_end_a_profile() -> None:
    csms = _csms_with_profiles()
    pipe = Pipe("1.6", "2.0.1")
    pipe.memory = csms.facts.memory
    csms.now = datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert csms.get(2) == []
    pipe.say("StopTransaction", {"transactionId": 77, "meterStop": 9, "timestamp": "2026-03-01T08:00:00Z"})
    assert "6" not in pipe.memory.profiles
    csms.facts = replace(csms.facts, memory=pipe.memory)
    assert csms.get() == [(0, 1), (0, 2), (1, 3), (1, 4)]


@pytest.mark.parametrize("status", ["Accepted", "Rejected"])
def test_the_profile_of_a_remote_start_is_its_transaction_s(status: str) -> None:
    csms = _csms_with_profiles()
    token = {"idToken": "ABC", "type": "ISO14443"}
    asked = {"evseId": 1, "remoteStartId": 4, "idToken": token, "chargingProfile": _profile(8, TX)}
    csms.say("RequestStartTransaction", asked, answer({"status": status}))
    assert csms.get() == ALL, "it waits for its transaction"
    pipe = Pipe("1.6", "2.0.1")
    pipe.memory = csms.facts.memory
    pipe.say(
        "StartTransaction", {"connectorId": 1, "idTag": "ABC", "meterStart": 1, "timestamp": "2026-03-01T08:00:00Z"}
    )
    csms.facts = replace(csms.facts, memory=pipe.memory)
    begun = pipe.sent[-1][1]["transactionInfo"]["transactionId"]
    told = [one for _, _, one in csms.reported(1, chargingProfilePurpose=TX)]
    is_taken = status == "Accepted"
    assert [(one["id"], one["transactionId"]) for one in told] == ([(8, begun)] if is_taken else [])


def test_a_csms_that_gives_ever_more_does_not_fill_the_memory() -> None:
    csms = _Csms()
    for number in range(passed.MOST + 5):
        csms.set(1, _profile(number, level=number))
    assert csms.get() == [(1, number) for number in range(5, passed.MOST + 5)]
    assert len(csms.facts.memory.profiles) == passed.MOST


# -- where the gateway holds them --------------------------------------------------------------------------------------


class _Holds:
    def __init__(self, *held: HeldProfile) -> None:
        self._held = held

    def profiles(self) -> Sequence[HeldProfile]:
        return self._held

    def customer(self, token: IdToken) -> Sequence[str]:
        return [token.value]


def _held(
    evse: int, number: int, purpose: Purpose, source: str = LimitSource.CSO, tx: str | None = None
) -> HeldProfile:
    schedule = Schedule(RateUnit.A, (Period(0, 16.1),))
    return HeldProfile(evse, source, ChargingProfile(number, 0, purpose, Kind.ABSOLUTE, (schedule,), transaction=tx))


def _facts_with(facts: Facts, *held: HeldProfile) -> Facts:
    return replace(facts, keeper=_Holds(*held))


def test_where_current_is_shared_what_is_in_force_is_told_in_the_csms_s_own_words() -> None:
    csms = _csms_with_profiles()
    external = _held(1, 100, Purpose.EXTERNAL, LimitSource.EMS)
    csms.facts = _facts_with(csms.facts, _held(1, 3, Purpose.TX_DEFAULT), _held(1, 6, Purpose.TX, tx="77"), external)
    told = {one["id"]: (source, one) for _, source, one in csms.reported()}
    assert set(told) == {3, 6, 100}
    assert told[3] == ("CSO", _read(_profile(3)))
    assert told[6][1] == _read(_profile(6, TX, transactionId=UUID))
    assert told[100][0] == "EMS"
    assert csms.get(chargingLimitSource=["EMS"]) == [(1, 100)]


def test_a_profile_from_before_the_translation_is_told_under_the_csms_s_name_of_its_transaction() -> None:
    csms = _Csms()
    csms.facts = _facts_with(csms.facts, _held(1, 6, Purpose.TX, tx="77"), _held(2, 7, Purpose.TX, tx="5"))
    told = {one["id"]: one for _, _, one in csms.reported()}
    assert told[6]["transactionId"] == UUID
    assert "transactionId" not in told[7]


def _read(profile: Any) -> Any:
    csms = _Csms()
    csms.set(1, profile)
    return csms.reported()[0][2]


def test_old_profiles_make_room_for_new_ones_and_the_past_is_forgotten() -> None:
    csms = _csms_with_profiles()
    csms.now = NOW + timedelta(hours=2)
    csms.set(2, _profile(50, level=5))
    assert set(csms.facts.memory.profiles) == {"1", "2", "3", "4", "6", "50"}
