"""Payloads as the outbox holds them: deflated, with a dictionary of what OCPP messages are made of, and a checksum.

A queued message takes a fifth of its size, so an outage of weeks fits on a small card and costs it few writes. What is
written is read for ever: the dictionary is never edited. A better one would be number 2, under a mark of its own.
"""

import zlib

_MARK = b"\x01"
"""First byte of a packed payload; no JSON text begins so."""
_SHORTEST = 48
_WINDOW_BITS = -12
_CHECKSUM_BYTES = 4

DICTIONARY = (
    b'{"connectorId":1,"idTag":"04A1B2C3D4E5F6","meterStart":0,"timestamp":"2026-01-01T00:00:00.000Z","reservationId":'
    b'{"idTag":"","meterStop":1000,"timestamp":"","transactionId":1,"reason":"Local""Remote""EVDisconnected""PowerLoss"'
    b'"EmergencyStop""DeAuthorized""HardReset""SoftReset""Reboot""Other""UnlockCommand","transactionData":['
    b'{"connectorId":1,"transactionId":1,"meterValue":[{"timestamp":"2026-01-01T00:00:00Z","sampledValue":['
    b'{"value":"230.1","context":"Sample.Periodic","format":"Raw","measurand":"Voltage","phase":"L1-N","unit":"V",'
    b'"location":"Outlet"},{"value":"16.0","context":"Sample.Clock","measurand":"Current.Import","phase":"L2",'
    b'"unit":"A"},{"value":"11000","measurand":"Power.Active.Import","phase":"L3","unit":"W"},{"value":"0","measurand":'
    b'"Current.Offered"},{"value":"50","measurand":"SoC","unit":"Percent","location":"EV"},{"value":"25","measurand":'
    b'"Temperature","unit":"Celsius"},{"value":"0","measurand":"Power.Offered","unit":"kW"},{"value":"0.0","measurand":'
    b'"Frequency"},{"value":"1","context":"Transaction.Begin","measurand":"Energy.Active.Import.Register",'
    b'"location":"Inlet","unit":"Wh"},"unit":"kWh"}]}]}"format":"SignedData""tech":"info":"type":"additionalInfo":['
    b'"signedMeterValue":{"signedMeterData":"","signingMethod":"","encodingMethod":"OCMF","publicKey":""}'
    b'{"eventType":"Updated","timestamp":"2026-01-01T00:00:00.000Z","triggerReason":"MeterValueClock","Authorized"'
    b'"CablePluggedIn""ChargingRateChanged""ChargingStateChanged""Deauthorized""EnergyLimitReached""EVCommunicationLost"'
    b'"EVConnectTimeout""EVDeparted""EVDetected""RemoteStart""RemoteStop""StopAuthorized""Trigger""UnlockCommand"'
    b'"seqNo":10,"offline":false,"numberOfPhasesUsed":3,"cableMaxCurrent":32,"reservationId":1,"transactionInfo":'
    b'{"transactionId":"","chargingState":"SuspendedEVSE""SuspendedEV""Idle""EVConnected""Charging","timeSpentCharging":'
    b'"stoppedReason":"Local""EVDisconnected""Remote""StoppedByEV","remoteStartId":1},"evse":{"id":1,"connectorId":1},'
    b'"idToken":{"idToken":"04A1B2C3D4E5F6","type":"ISO14443""Central""eMAID""KeyCode""NoAuthorization"},"meterValue":['
    b'{"timestamp":"2026-01-01T00:00:00.000Z","sampledValue":[{"value":11000.0,"context":"Sample.Periodic","measurand":'
    b'"Power.Active.Import","phase":"L1","location":"Outlet","unitOfMeasure":{"unit":"W","multiplier":0}},{"value":1.0,'
    b'"context":"Transaction.End","measurand":"Energy.Active.Import.Register","unitOfMeasure":{"unit":"Wh"}}]}]}'
)

_packer = zlib.compressobj(6, zlib.DEFLATED, _WINDOW_BITS, 5, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
_quick_packer = zlib.compressobj(2, zlib.DEFLATED, _WINDOW_BITS, 4, zlib.Z_FIXED, DICTIONARY)


def pack(payload: bytes, *, is_brief: bool = False) -> bytes:
    """The payload as it is stored; a short one, or one that gains nothing, stays as it is.

    `is_brief`: it won't be there for long. In a third of the time it is packed a quarter larger, still cheap to write.
    """
    if len(payload) >= _SHORTEST or payload.startswith(_MARK):
        packer = (_quick_packer if is_brief else _packer).copy()
        checksum = zlib.crc32(payload).to_bytes(_CHECKSUM_BYTES, "big")
        packed = b"".join((_MARK, checksum, packer.compress(payload), packer.flush()))
        if len(packed) < len(payload) or payload.startswith(_MARK):
            return packed
    return payload


def unpack(stored: bytes) -> bytes:
    """The payload again, byte for byte. Raises ValueError if it is damaged."""
    if not stored.startswith(_MARK):
        return stored
    begin = len(_MARK) + _CHECKSUM_BYTES
    unpacker = zlib.decompressobj(_WINDOW_BITS, DICTIONARY)
    try:
        payload = unpacker.decompress(stored[begin:])
    except zlib.error as error:
        raise ValueError(f"a packed payload is damaged: {error}") from error
    if zlib.crc32(payload).to_bytes(_CHECKSUM_BYTES, "big") != stored[len(_MARK) : begin]:
        raise ValueError("a packed payload is damaged: its checksum is wrong")
    return payload
