"""What every model of a protocol shares, and what the parameters of a plug-in start from."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


class StrictModel(BaseModel):
    """A frozen model that refuses unknown keys and does not turn one type into another behind the user's back."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False, protected_namespaces=())


class PolicyParams(StrictModel):
    """The keys every policy has.

    Attributes
    ----------
    fields_per_visit : int
        Fields imaged in one trip to a well.
    wells_per_batch : int
        Visits asked for at a time.
    in_flight : int or None
        Visits that may be dispatched and not yet told; None is a batch and `ahead` of another.
    ahead : float
        Share of a batch that is still under way when the next is asked for, where neither the protocol nor a person who
        must answer says otherwise. 1 keeps the stage busy whatever analysis takes; less is for policies whose choice
        gains from every result.
    """

    ahead: ClassVar[float] = 1.0

    fields_per_visit: int = Field(default=1, ge=1, description="fields imaged in one trip to a well")
    wells_per_batch: int = Field(default=8, ge=1, description="visits asked for at a time")
    in_flight: int | None = Field(
        default=None,
        ge=1,
        description="visits under way at most; two batches unless set, with hits a batch and a quarter",
    )

    @model_validator(mode="after")
    def _room_for_a_batch(self) -> PolicyParams:
        if self.in_flight is not None and self.in_flight < self.wells_per_batch:
            raise PydanticCustomError(
                "in_flight",
                "in_flight is {in_flight} but a batch is {batch} wells: no batch could ever be dispatched; "
                "use at least {batch}, or lower wells_per_batch",
                {"in_flight": self.in_flight, "batch": self.wells_per_batch},
            )
        return self


class QuestionParams(StrictModel):
    """The keys every question has.

    A question that compares with controls adds ``controls: str`` (an expression over the columns of the plate map),
    ``change``, ``smallest`` and its error level ``false_hits`` or ``confidence``; the protocol layer checks them.

    Attributes
    ----------
    readout : str
        Name of the readout it is about.
    """

    readout: str = Field(description="name of the readout the question is about")
