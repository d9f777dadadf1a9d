"""A block whose keys a plug-in understands, and the words that may be names in expressions."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from phenoloop.protocol.quantities import Duration

_IDENTIFIER = r"^[A-Za-z_][A-Za-z0-9_]*$"
_RESERVED = frozenset({"and", "or", "not", "in"})


def _check_name(value: Any) -> Any:
    if isinstance(value, str) and (not re.fullmatch(_IDENTIFIER, value) or value in _RESERVED):
        raise PydanticCustomError(
            "name",
            "{given} cannot be a name in expressions; use letters, digits and _, not beginning with a digit",
            {"given": repr(value)},
        )
    return value


Name = Annotated[str, BeforeValidator(_check_name), Field(json_schema_extra={"pattern": _IDENTIFIER})]
"""A word that expressions can name."""


class PluginBlock(BaseModel):
    """A block with a `kind`; its other keys are checked by the plug-in that `kind` names."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str

    @property
    def given(self) -> dict[str, Any]:
        """The keys that the plug-in has to understand."""
        return dict(self.__pydantic_extra__ or {})


class SimulationBlock(PluginBlock):
    """What stands in for the specimen on the virtual plate."""

    analysis_latency: Duration = Field(default=0.2, description="time an analysis takes on the virtual clock")
