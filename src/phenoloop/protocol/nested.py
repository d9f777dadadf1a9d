"""A policy inside a policy: the block that names it, with the keys of whatever `kind` it is."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from phenoloop.protocol.blocks import PluginBlock

PART: Final = r"^[A-Za-z0-9_][A-Za-z0-9_ -]{0,39}$"
"""Names of the parts of a policy: no slash, which joins them."""
NESTED: Final = "x-nested"
"""Mark in a JSON Schema of a block that takes the keys of any policy."""


class PolicyBlock(PluginBlock):
    """A policy that is a part of another one."""

    model_config = ConfigDict(extra="allow", frozen=True, json_schema_extra={NESTED: "policies"})

    name: Annotated[str, Field(pattern=PART)] | None = Field(
        default=None, description="what its proposals are told to come from; its kind unless given"
    )
