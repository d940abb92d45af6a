"""What a `[meter.NAME]` table with driver = "modbus" holds."""

import difflib
from collections.abc import Iterator
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo

from drivers import model_file
from drivers.line_options import LineOptions
from drivers.model_file import MeterModel, Serial, Transport
from drivers.options import OptionsError, Places, fault


def _model(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    places = info.context if isinstance(info.context, Places) else Places()
    known = model_file.files(places)
    if value not in known:
        if refusal := model_file.refusals().get(value):
            raise fault(f"the {refusal.name} cannot be used: {refusal.problem}", refusal.remedy)
        near = difflib.get_close_matches(value.lower()[:60], known, n=1)
        hint = f'Write "{near[0]}", if that is meant.' if near else f"Write one of {', '.join(known)}."
        raise fault("is not a known model", f"{hint} A map of your own belongs into {places.models}.")
    try:
        return model_file.load(known[value])
    except OptionsError as error:
        raise fault(f"{known[value]} cannot be used ({error})", "Correct the file.") from None


class ModbusOptions(LineOptions):
    model: Annotated[
        MeterModel,
        BeforeValidator(_model),
        PlainSerializer(lambda model: model.id),
        Field(description='Name a model, such as "eastron-sdm630".'),
    ]
    identify: bool = Field(
        default=True, description="Write false to read a meter that says to be another model, or set up otherwise."
    )

    def serial(self) -> Serial:
        return self.model.modbus.serial

    def transports(self) -> tuple[Transport, ...]:
        return self.model.modbus.transports

    def cautions(self) -> Iterator[str]:
        if not self.model.verified:
            yield f'the register map "{self.model.id}" is not verified: compare its values with the meter\'s display'
        yield from super().cautions()
