"""Numbers with units: which units each kind of quantity knows, and what a bare number means.

In a protocol file a quantity carries its unit (``20 ms``, ``15 %``). From Python, where no file is being read, a bare
number is taken in the base unit of the type, so ``Params(explore=0.1)`` is ten percent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, DecimalException
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

STRICT: Final = "protocol_file"
"""Key of the validation context that says a protocol file is read, where a bare number is refused."""

_NUMBER: Final = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_QUANTITY: Final = re.compile(rf"\s*({_NUMBER})\s*((?:[^\d\s.+-]\S*)?)\s*")

TIME: Final[dict[str, str]] = {
    "us": "1e-6",
    "µs": "1e-6",
    "ms": "0.001",
    "s": "1",
    "min": "60",
    "h": "3600",
    "d": "86400",
}
EXPOSURE: Final[dict[str, str]] = {"us": "0.001", "µs": "0.001", "ms": "1", "s": "1000", "min": "60000"}
LENGTH: Final[dict[str, str]] = {"nm": "0.001", "um": "1", "µm": "1", "mm": "1000", "cm": "10000"}
PERCENT: Final[dict[str, str]] = {"%": "0.01"}
BYTES: Final[dict[str, str]] = {
    "B": "1",
    "KB": "1e3",
    "kB": "1e3",
    "MB": "1e6",
    "GB": "1e9",
    "TB": "1e12",
    "KiB": "1024",
    "MiB": "1048576",
    "GiB": "1073741824",
    "TiB": "1099511627776",
}
SPEED: Final[dict[str, str]] = {"um/s": "1", "µm/s": "1", "mm/s": "1000"}
ACCELERATION: Final[dict[str, str]] = {"um/s2": "1", "µm/s2": "1", "mm/s2": "1000"}
PIXELS: Final[dict[str, str]] = {"px": "1"}
ANGLE: Final[dict[str, str]] = {"deg": "1", "°": "1", "rad": str(Decimal(repr(180 / math.pi)))}


class Quantity:
    """The reader of one kind of quantity, used as an annotation.

    Parameters
    ----------
    noun : str
        What it is, with its article, for messages (``"a duration"``).
    units : mapping of str to str
        Unit to its size in base units, as decimal text so that ``15 %`` is exactly 0.15.
    example : str
        How to write one.
    bare : bool
        A number without a unit is taken in base units, in a protocol file too.
    """

    def __init__(self, noun: str, units: Mapping[str, str], example: str, *, bare: bool = False) -> None:
        self.noun = noun
        self.units = {unit.replace("μ", "µ"): Decimal(size) for unit, size in units.items()}
        self.example = example
        self.bare = bare

    def parse(self, text: str) -> float:
        """Return a quantity written as text, in base units.

        Raises
        ------
        ValueError
            If it is no number, or its unit is missing or of another kind; the message names the valid units.
        """
        match = _QUANTITY.fullmatch(text.replace("μ", "µ"))  # two code points look the same: Greek mu, micro sign
        if match is None:
            raise ValueError(f"{text!r} is not {self.noun}; write it like {self.example!r}")
        number, unit = match.groups()
        if not unit:
            if self.bare:
                return float(number)
            raise ValueError(self._unitless(text))
        size = self.units.get(unit)
        if size is None:
            raise ValueError(
                f"unknown unit {unit!r} for {self.noun}; use {self._known()}, for example {self.example!r}"
            )
        try:
            return float(Decimal(number) * size)
        except DecimalException as error:  # an exponent that no number has
            raise ValueError(f"{text!r} is not {self.noun}; write it like {self.example!r}") from error

    def _unitless(self, given: str | float) -> str:
        units = [unit for unit in self.units if "µ" not in unit]
        if units == ["%"] and 0 < float(given) < 1:
            return f"{given!r} has no unit; write '{100 * float(given):g} %', or '{given} %' if so little is meant"
        if len(units) == 1:
            return f"{given!r} has no unit; write '{given} {units[0]}'"
        return f"{given!r} has no unit; write {self.noun} like {self.example!r} ({self._known()})"

    def _known(self) -> str:
        names = [unit for unit in self.units if "µ" not in unit]
        return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]

    def __call__(self, value: Any, info: ValidationInfo) -> Any:
        """Validate one value for pydantic."""
        in_file = STRICT in (info.context or {})
        try:
            if isinstance(value, str):
                return self.parse(value)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{value!r} is not {self.noun}; write it like {self.example!r}")
            if in_file and not self.bare:
                raise ValueError(self._unitless(value))
        except ValueError as error:
            raise PydanticCustomError("quantity", "{reason}", {"reason": str(error)}) from error
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        """Put this reader before the validation of the number."""
        return BeforeValidator(self.__call__).__get_pydantic_core_schema__(source, handler)  # type: ignore[arg-type]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the text form for editors."""
        units = "|".join(re.escape(unit) for unit in self.units)
        text: JsonSchemaValue = {
            "type": "string",
            "pattern": rf"^\s*{_NUMBER}\s*({units}){'?' if self.bare else ''}\s*$",
            "description": f"{self.noun}, for example {self.example}",
        }
        return {"anyOf": [text, {"type": "number"}]} if self.bare else text


Duration = Annotated[float, Quantity("a duration", TIME, "30 s"), Field(ge=0, allow_inf_nan=False)]
"""Seconds."""
Exposure = Annotated[float, Quantity("an exposure", EXPOSURE, "20 ms", bare=True), Field(gt=0, allow_inf_nan=False)]
"""Milliseconds; a bare number is ms, as in Micro-Manager."""
Length = Annotated[float, Quantity("a length", LENGTH, "20 um"), Field(allow_inf_nan=False)]
"""Micrometres."""
Percent = Annotated[float, Quantity("a percentage", PERCENT, "15 %"), Field(ge=0, le=1, allow_inf_nan=False)]
"""Share of one, 0..1."""
Bytes = Annotated[int, Quantity("an amount of data", BYTES, "20 GB"), Field(gt=0)]
"""Bytes."""
Speed = Annotated[float, Quantity("a speed", SPEED, "20 mm/s"), Field(gt=0, allow_inf_nan=False)]
"""Micrometres per second."""
Angle = Annotated[float, Quantity("an angle", ANGLE, "1.5 deg"), Field(allow_inf_nan=False)]
"""Degrees, anticlockwise."""
Acceleration = Annotated[
    float, Quantity("an acceleration", ACCELERATION, "100 mm/s2"), Field(gt=0, allow_inf_nan=False)
]
"""Micrometres per second squared."""
Pixels = Annotated[float, Quantity("a size in the image", PIXELS, "4 px"), Field(gt=0, allow_inf_nan=False)]
"""Pixels of the frame."""
