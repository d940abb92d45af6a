"""A site that is one station to the CSMS, told apart again: whose was each message, and what is its own id?"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.core.one_station import transaction_uuid
from gateway.model.ids import StationId
from tests.gateway_process import GatewayProcess
from tests.peers.ocpp_rpc_diff import Diff, compare
from tests.peers.ocpp_rpc_rig import Fleet
from tests.peers.steps import ForeignCsms

SITE = "SITE"
OF_TRANSACTIONS = ("StartTransaction", "StopTransaction", "MeterValues", "TransactionEvent")
Message = dict[str, Any]


def one_station_gateway(directory: Path, uplink_url: str, version: str) -> GatewayProcess:
    """A gateway whose stations are one to the CSMS."""
    gateway = GatewayProcess(directory, uplink_url)
    topology = f'[uplink]\ntopology = "aggregate"\nversions = ["{version}"]'
    gateway.write_config(gateway.config_file.read_text().replace("[uplink]", topology))
    return gateway


async def numbers_of(gateway: GatewayProcess) -> dict[str, int]:
    """The number of each station's one connector."""
    return {one["id"]: one["numbers"]["1"] for one in (await gateway.status())["stations"]}


def told_apart(log: Iterable[Message], numbers: Mapping[str, int], sessions: Iterable[Message]) -> list[Message]:
    """The CSMS's log as it would be with a socket for each station."""
    stations = {number: identity for identity, number in numbers.items()}
    own_of = {
        transaction_uuid(StationId(one["identity"]), one["id"]): (one["identity"], one["id"])
        for one in sessions
        if one["protocol"] != "ocpp1.6" and one["id"] is not None
    }
    given: dict[int, str] = {}
    found = []
    for entry in log:
        if entry["action"] not in OF_TRANSACTIONS:
            continue
        params = json.loads(json.dumps(entry["params"]))
        if entry["action"] == "TransactionEvent":
            identity, own = own_of[params["transactionInfo"]["transactionId"]]
            params["transactionInfo"]["transactionId"] = own
            if "evse" in params:
                assert stations[params["evse"]["id"]] == identity, params
                params["evse"]["id"] = 1
        else:
            number = params.get("connectorId", params.get("evseId"))
            identity = given[params["transactionId"]] if "transactionId" in params else stations[number]
            if number is not None:
                assert stations[number] == identity, params
                params["connectorId" if "connectorId" in params else "evseId"] = 1
        if entry["action"] == "StartTransaction" and entry["answer"] is not None:
            given[entry["answer"]["transactionId"]] = identity
        found.append(entry | {"identity": identity, "params": params})
    return [one for one in found if one["action"] != "MeterValues" or "transactionId" in one["params"]]


async def diff_of_one(fleet: Fleet, csms: ForeignCsms, numbers: Mapping[str, int]) -> Diff:
    """What the stations sent against what the CSMS has by now."""
    sessions = await fleet.sessions()
    log, cuts = await csms.history()
    return compare(sessions, told_apart(log, numbers, sessions), cuts)


async def transactions(csms: ForeignCsms) -> dict[int, Any]:
    """The id of the newest transaction at each number, as the CSMS knows it."""
    found: dict[int, Any] = {}
    for entry in await csms.log():
        params = entry["params"]
        if entry["action"] == "StartTransaction" and entry["answer"]:
            found[params["connectorId"]] = entry["answer"]["transactionId"]
        elif entry["action"] == "TransactionEvent" and "evse" in params:
            found[params["evse"]["id"]] = params["transactionInfo"]["transactionId"]
    return found


def strangers(log: Iterable[Message], identities: Iterable[str]) -> list[Message]:
    """Messages that show the CSMS the identity of a station. A card may have any name."""
    found = []
    for entry in log:
        text = json.dumps(entry["params"])
        for identity in identities:
            if identity in text.replace(f"TAG-{identity}", ""):
                found.append(entry)
    return found


def strayed(received: Mapping[str, list[Message]], sessions: Iterable[Message]) -> list[tuple[str, Message]]:
    """Commands at a station with a number, or the id of a transaction, that is not its own."""
    own: dict[str, set[Any]] = {}
    for one in sessions:
        own.setdefault(one["identity"], set()).add(one["id"])
    found = []
    for identity, commands in received.items():
        for command in commands:
            numbers, ids = _named(command["params"])
            if not numbers <= {0, 1} or not ids <= own.get(identity, set()):
                found.append((identity, command))
    return found


def _named(value: Any) -> tuple[set[int], set[Any]]:
    """The connectors, EVSEs and transactions that a command names anywhere."""
    numbers: set[int] = set()
    ids: set[Any] = set()
    for name, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        if name in ("connectorId", "evseId"):
            numbers.add(inner)
        elif name == "evse":
            numbers.add(inner["id"])
        elif name == "transactionId":
            ids.add(inner)
        else:
            more_numbers, more_ids = _named(inner)
            numbers, ids = numbers | more_numbers, ids | more_ids
    return numbers, ids
