"""Firmware, logs and certificates, both ways. Much of it 1.6 has by its security extension only."""

from collections.abc import Callable
from dataclasses import replace

from msgspec.structs import replace as replaced

from gateway.dialects.payloads import member, objects, text
from gateway.dialects.translate.base import Command, Edit, Facts, Json, Memory, Outcome, Reply, Steps, answered
from gateway.dialects.translate.parts import (
    as_status,
    ask,
    asked_with,
    failed,
    fitting,
    inner,
    invented,
    is_unknown_there,
    kept,
    needed,
    noted,
    present,
    renamed,
    said,
    unsupported,
    words,
)
from gateway.dialects.translate.ups import both, no_edit
from gateway.rpc.codes import ErrorCode

LOG, FIRMWARE = "log", "firmware"
"""Names of the request ids, and of the notes that say by which action the CSMS (or, for 1.6, we) asked."""

_LONGEST_FILE = 255
_LOGS = ("DiagnosticsLog", "SecurityLog")
_LOG_STATUSES = ("Accepted", "Rejected", "AcceptedCanceled")
_UPDATES = ("Accepted", "Rejected", "AcceptedCanceled", "InvalidCertificate", "RevokedCertificate")
_DELETED = ("Accepted", "Failed", "NotFound")
_DONE = ("Accepted", "Rejected")
_INSTALLED = ("Accepted", "Failed", "Rejected")
_RETRIES = ("retries", "retryInterval")

_HASH = ("hashAlgorithm", "issuerNameHash", "issuerKeyHash", "serialNumber")
_TO_16 = {
    "CSMSRootCertificate": "CentralSystemRootCertificate",
    "ManufacturerRootCertificate": "ManufacturerRootCertificate",
}
_TO_20 = {there: here for here, there in _TO_16.items()}


def _asked(name: str, request: int, action: str) -> Edit:
    return both(asked_with(name, request), noted({name: action}))


def _unless_refused(
    name: str, request: int, steps: Steps, facts: Facts, is_taken: Callable[[Json], bool] | None = None
) -> Steps:
    """The same, but if the request is refused, what the station says belongs to the one before it, unless another was
    asked since. A GenericError may be our own word for silence, and leaves it open."""
    reply = yield from steps
    if isinstance(reply, Reply):
        is_over = not (is_taken or _is_accepted)(reply.payload)
    else:
        is_over = reply.code is not ErrorCode.GENERIC_ERROR
    if not is_over:
        return reply
    return replace(reply, remember=both(reply.remember or no_edit, _taken_back(name, request, facts.memory)))


def _is_accepted(answer: Json) -> bool:
    return answer.get("status") in ("Accepted", "AcceptedCanceled")


def _taken_back(name: str, request: int, before: Memory) -> Edit:
    old, note = before.requests.get(name), before.notes.get(name, "")

    def edit(memory: Memory) -> Memory:
        if memory.requests.get(name) != request:
            return memory
        others = {key: number for key, number in memory.requests.items() if key != name}
        return noted({name: note})(replaced(memory, requests=others if old is None else {**others, name: old}))

    return edit


# -- logs --------------------------------------------------------------------------------------------------------------


def _log(payload: Json) -> Json:
    return {
        **kept(payload, "logType", *_RETRIES),
        "log": kept(inner(payload, "log"), "remoteLocation", "oldestTimestamp", "latestTimestamp"),
        "requestId": needed(payload, "requestId"),
    }


def _log_answer(outcome: Outcome) -> Json:
    file = fitting((outcome.payload or {}).get("filename"), _LONGEST_FILE)
    return {**as_status(outcome, _LOG_STATUSES, "Rejected"), **({"filename": file} if file is not None else {})}


def get_log_on_16(payload: Json, facts: Facts) -> Steps:
    """GetLog of 2.x: the same with the security extension, else GetDiagnostics, which has no other log."""
    if payload.get("logType") not in _LOGS:
        return answered(Reply(said("Rejected", "UnsupportedParam", "OCPP 1.6 has no such log")))
    asked = _log(payload)
    return _unless_refused(LOG, asked["requestId"], _get_log_16(asked), facts)


def _get_log_16(asked: Json) -> Steps:
    outcome = yield Command("GetLog", asked, remember=_asked(LOG, asked["requestId"], "GetLog"))
    if outcome.payload is not None:
        return Reply(_log_answer(outcome))
    if not is_unknown_there(outcome) or asked.get("logType") != "DiagnosticsLog":
        return failed(outcome)
    log = renamed(
        asked["log"], {"remoteLocation": "location", "oldestTimestamp": "startTime", "latestTimestamp": "stopTime"}
    )
    remember = noted({LOG: "GetDiagnostics"})
    outcome = yield Command("GetDiagnostics", {**log, **kept(asked, *_RETRIES)}, remember=remember)
    if outcome.payload is None:
        return failed(outcome)
    file = fitting(outcome.payload.get("fileName"), _LONGEST_FILE)
    if not file:
        return Reply(said("Rejected", "NotFound", "there is nothing to upload"))
    return Reply({"status": "Accepted", "filename": file}, losses=("diagnostics",))


def get_log_on_20(payload: Json, facts: Facts) -> Steps:
    """GetLog of 1.6's security extension."""
    asked = _log(payload)
    steps = ask(Command("GetLog", asked, remember=_asked(LOG, asked["requestId"], "GetLog")), _log_answer)
    return _unless_refused(LOG, asked["requestId"], steps, facts)


def get_diagnostics_on_20(payload: Json, facts: Facts) -> Steps:
    """GetDiagnostics of 1.6: no file name is its only way to refuse."""
    number, edit = invented(facts, LOG)
    location = words(payload, "location")
    window = renamed(payload, {"startTime": "oldestTimestamp", "stopTime": "latestTimestamp"})
    asked = {
        **kept(payload, *_RETRIES),
        "logType": "DiagnosticsLog",
        "log": {"remoteLocation": location, **window},
        "requestId": number,
    }

    def answer(outcome: Outcome) -> Json:
        if outcome.status not in ("Accepted", "AcceptedCanceled"):
            return {}
        file = fitting((outcome.payload or {}).get("filename"), _LONGEST_FILE)
        return {"fileName": file or location.rpartition("/")[2][:_LONGEST_FILE] or "log"}

    steps = ask(Command("GetLog", asked, remember=both(edit, noted({LOG: "GetDiagnostics"}))), answer)
    return _unless_refused(LOG, number, steps, facts, is_taken=lambda said: "fileName" in said)


# -- firmware ----------------------------------------------------------------------------------------------------------


def update_on_16(payload: Json, facts: Facts) -> Steps:
    """UpdateFirmware of 2.x. What is signed is never sent as unsigned."""
    firmware, request = inner(payload, "firmware"), needed(payload, "requestId")
    certificate, signature = text(firmware.get("signingCertificate")), text(firmware.get("signature"))
    if signature is None and certificate is None:
        return _unless_refused(FIRMWARE, request, _update_16(firmware, request, kept(payload, *_RETRIES)), facts)
    if signature is None or certificate is None:
        return answered(Reply(said("InvalidCertificate", "MissingParam", "a signature needs its certificate")))
    return _signed_update(payload, "SignedUpdateFirmware", facts)


def _update_16(firmware: Json, request: int, retries: Json) -> Steps:
    """The answer of 1.6 is empty: it refuses by CALLERROR only."""
    asked = {
        "location": words(firmware, "location"),
        "retrieveDate": words(firmware, "retrieveDateTime"),
        **retries,
    }
    outcome = yield Command("UpdateFirmware", asked, remember=_asked(FIRMWARE, request, "UpdateFirmware"))
    if outcome.payload is None:
        return failed(outcome)
    losses = ("install-date",) if firmware.get("installDateTime") is not None else ()
    return Reply({"status": "Accepted"}, losses=losses)


def _signed_update(payload: Json, action: str, facts: Facts) -> Steps:
    """The same members in both versions; `action` is the one to send."""
    firmware, request = inner(payload, "firmware"), needed(payload, "requestId")
    members = ("location", "retrieveDateTime", "installDateTime", "signingCertificate", "signature")
    asked = {"requestId": request, "firmware": kept(firmware, *members), **kept(payload, *_RETRIES)}
    remember = _asked(FIRMWARE, request, "SignedUpdateFirmware")
    steps = ask(Command(action, asked, remember=remember), lambda outcome: as_status(outcome, _UPDATES, "Rejected"))
    return _unless_refused(FIRMWARE, request, steps, facts)


def signed_update_on_20(payload: Json, facts: Facts) -> Steps:
    """SignedUpdateFirmware of 1.6."""
    return _signed_update(payload, "UpdateFirmware", facts)


def update_on_20(payload: Json, facts: Facts) -> Steps:
    """UpdateFirmware of 1.6, which can be refused by CALLERROR only."""
    number, edit = invented(facts, FIRMWARE)
    firmware = {"location": words(payload, "location"), "retrieveDateTime": words(payload, "retrieveDate")}
    asked = {"requestId": number, "firmware": firmware, **kept(payload, *_RETRIES)}
    steps = _update_20(Command("UpdateFirmware", asked, remember=both(edit, noted({FIRMWARE: "UpdateFirmware"}))))
    return _unless_refused(FIRMWARE, number, steps, facts, is_taken=lambda said: True)


def _update_20(command: Command) -> Steps:
    outcome = yield command
    if outcome.payload is None:
        return failed(outcome)
    if outcome.status in ("Accepted", "AcceptedCanceled"):
        return Reply({})
    return unsupported(f"the station answers {outcome.status[:40]}")


# -- certificates ------------------------------------------------------------------------------------------------------


def certificate_signed_on_16(payload: Json, facts: Facts) -> Steps:
    """1.6 has certificates of the station only."""
    if payload.get("certificateType") not in (None, "ChargingStationCertificate"):
        return answered(Reply(said("Rejected", "UnsupportedParam", "OCPP 1.6 has no V2G certificates")))
    asked = {"certificateChain": words(payload, "certificateChain")}
    return ask(Command("CertificateSigned", asked), lambda outcome: as_status(outcome, _DONE, "Rejected"))


def certificate_signed_on_20(payload: Json, facts: Facts) -> Steps:
    asked = {
        "certificateChain": words(payload, "certificateChain"),
        "certificateType": "ChargingStationCertificate",
    }
    return ask(Command("CertificateSigned", asked), lambda outcome: as_status(outcome, _DONE, "Rejected"))


def install_on_16(payload: Json, facts: Facts) -> Steps:
    kind = words(payload, "certificateType")
    if kind not in _TO_16:
        return answered(Reply(said("Rejected", "UnsupportedParam", f"OCPP 1.6 has no {kind[:50]}")))
    return _install(payload, _TO_16[kind])


def install_on_20(payload: Json, facts: Facts) -> Steps:
    kind = words(payload, "certificateType")
    return _install(payload, _TO_20[kind]) if kind in _TO_20 else answered(Reply({"status": "Rejected"}))


def _install(payload: Json, kind: str) -> Steps:
    asked = {"certificateType": kind, "certificate": words(payload, "certificate")}
    return ask(Command("InstallCertificate", asked), lambda outcome: as_status(outcome, _INSTALLED, "Failed"))


def delete(payload: Json, facts: Facts) -> Steps:
    """The same in all versions."""
    asked = {"certificateHashData": kept(inner(payload, "certificateHashData"), *_HASH)}
    return ask(Command("DeleteCertificate", asked), lambda outcome: as_status(outcome, _DELETED, "Failed"))


def installed_on_16(payload: Json, facts: Facts) -> Steps:
    """GetInstalledCertificateIds of 2.x: 1.6 is asked type by type, of the two it has."""
    asked = payload.get("certificateType")
    wanted = list(_TO_16) if not isinstance(asked, list) else [kind for kind in _TO_16 if kind in asked]
    return _installed_16(wanted)


def _installed_16(wanted: list[str]) -> Steps:
    chains: list[Json] = []
    for kind in wanted:
        outcome = yield Command("GetInstalledCertificateIds", {"certificateType": _TO_16[kind]})
        if outcome.payload is None:
            return failed(outcome)
        hashes = [kept(one, *_HASH) for one in objects(outcome.payload, "certificateHashData")]
        chains += [{"certificateType": kind, "certificateHashData": one} for one in hashes]
    return Reply({"status": "Accepted", "certificateHashDataChain": chains} if chains else {"status": "NotFound"})


def installed_on_20(payload: Json, facts: Facts) -> Steps:
    """GetInstalledCertificateIds of 1.6; what hangs below a root is left out."""
    kind = words(payload, "certificateType")
    if kind not in _TO_20:
        return answered(Reply({"status": "NotFound"}))
    return ask(Command("GetInstalledCertificateIds", {"certificateType": [_TO_20[kind]]}), _installed_20)


def _installed_20(outcome: Outcome) -> Json:
    chains = objects(outcome.payload or {}, "certificateHashDataChain")
    hashes = [kept(member(one, "certificateHashData"), *_HASH) for one in chains]
    whole = [one for one in hashes if len(one) == len(_HASH)]
    return present({"status": "Accepted" if whole else "NotFound", "certificateHashData": whole or None})
