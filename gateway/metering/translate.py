"""A driver's words in the model's."""

from drivers.api import DriverError, Health, Reading
from drivers.api import Trouble as DriverTrouble
from gateway.model.ids import MeterId
from gateway.model.metering import (
    Finding,
    MeterHealth,
    MeterReading,
    MeterReason,
    Quality,
    Signed,
    Trouble,
    TroubleKind,
)

_COUNTERS = (
    "readings", "replaced", "timeouts", "crc_errors", "short_frames", "late_frames", "refusals", "reconnects",
)  # fmt: skip


def reading(said: Reading) -> MeterReading:
    return MeterReading(
        meter=MeterId(said.meter),
        sequence=said.sequence,
        measured_at=said.t_mono,
        measured=said.t_wall,
        interval_s=said.interval_s,
        current_a=said.current_a,
        current_signed=Signed(said.current_signed.value),
        voltage_v=said.voltage_v,
        power_w=said.power_w,
        power_total_w=said.power_total_w,
        power_factor=said.power_factor,
        frequency_hz=said.frequency_hz,
        energy_import_kwh=said.energy_import_kwh,
        energy_export_kwh=said.energy_export_kwh,
        resolution_a=said.resolution_a,
        phases=said.phases,
        device_time=said.device_time,
        quality=Quality(said.quality.value),
        findings=tuple(Finding(MeterReason(reason)) for reason in sorted(reason.value for reason in said.reasons)),
    )


def trouble(said: DriverTrouble | DriverError) -> Trouble:
    told = said.trouble if isinstance(said, DriverError) else said
    return Trouble(TroubleKind(told.kind.value), told.problem, told.remedy)


def health(said: Health) -> MeterHealth:
    return MeterHealth(
        trouble=trouble(said.trouble) if said.trouble else None,
        counters={name: getattr(said, name) for name in _COUNTERS},
        notes=said.notes,
    )
