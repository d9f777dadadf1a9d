"""The JSON Schema of protocols and microscope files, for editors: plug-ins are described by kind, with their keys."""

from __future__ import annotations

from typing import Any, Final

from phenoloop.plugins import Registry
from phenoloop.protocol.microscope_models import MicroscopeFile
from phenoloop.protocol.models import Protocol
from phenoloop.protocol.nested import NESTED

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_BLOCKS: Final = (
    (("properties", "policy"), "policies"),
    (("properties", "fallback"), "policies"),
    (("properties", "question"), "questions"),
    (("properties", "simulation"), "specimens"),
    (("$defs", "AnalysisBlock", "properties", "segment"), "segmenters"),
    (("$defs", "ProfileAnalysisBlock", "properties", "segment"), "segmenters"),
)
_DROPPED: Final = frozenset({"default", "gt", "ge", "lt", "le"})
_OWN_KEYS: Final = {"segmenters": "SegmentBlock", "specimens": "SimulationBlock"}


def json_schema(registry: Registry) -> dict[str, Any]:
    """Return the JSON Schema of a protocol, with the parameters of every plug-in of `registry` by its kind."""
    schema = Protocol.model_json_schema()
    definitions = schema["$defs"]
    for group in ("policies", "questions", "specimens", "segmenters"):
        own = definitions.get(_OWN_KEYS.get(group, ""), {})
        choices = [_choice(group, kind, registry, own, definitions) for kind in registry.kinds(group)]
        definitions[group] = {"oneOf": [*choices, _of_a_lab(registry.kinds(group))]}
    _nest(definitions)
    for path, group in _BLOCKS:
        place = schema
        for part in path[:-1]:
            place = place[part]
        said = place[path[-1]].get("description")
        place[path[-1]] = {"$ref": f"#/$defs/{group}"} | ({"description": said} if said else {})
    for name in ("PluginBlock", "SegmentBlock", "SimulationBlock"):
        definitions.pop(name, None)
    for block in ("AnalysisBlock", "ProfileAnalysisBlock"):
        definitions[block]["properties"]["spots"] = {
            "anyOf": [{"$ref": "#/$defs/SpotsBlock"}, {"type": "array", "items": {"$ref": "#/$defs/SpotsBlock"}}]
        }
    wells = definitions["Plate"]["properties"]["wells"]
    wells["anyOf"] = [{"type": "string"}, *wells["anyOf"]]
    microscope = MicroscopeFile.model_json_schema(ref_template="#/$defs/{model}")
    definitions |= microscope.pop("$defs", {})
    definitions["MicroscopeFile"] = microscope
    schema["properties"]["microscope"]["anyOf"] = [{"type": "string"}, {"$ref": "#/$defs/MicroscopeFile"}]
    return {"$schema": _DIALECT, **_without_defaults(schema), "title": "phenoloop protocol"}


def microscope_schema() -> dict[str, Any]:
    """Return the JSON Schema of a microscope file."""
    schema = MicroscopeFile.model_json_schema()
    return {"$schema": _DIALECT, **_without_defaults(schema), "title": "phenoloop microscope file"}


def _choice(
    group: str, kind: str, registry: Registry, own: dict[str, Any], definitions: dict[str, Any]
) -> dict[str, Any]:
    plugin = registry.load(group, kind)
    found: dict[str, Any] = plugin.Params.model_json_schema(ref_template=f"#/$defs/{group}.{kind}.{{model}}")
    for name, inner in found.pop("$defs", {}).items():
        definitions[f"{group}.{kind}.{name}"] = inner
    properties = {"kind": {"const": kind}}
    properties |= {key: value for key, value in own.get("properties", {}).items() if key != "kind"}
    properties |= {key: value for key, value in found.get("properties", {}).items() if key != "kind"}
    needed = dict.fromkeys(["kind", *own.get("required", []), *found.get("required", [])])
    said = (plugin.__doc__ or "").strip().split("\n")[0]
    return {
        "title": kind,
        "description": said,
        "type": "object",
        "properties": properties,
        "required": list(needed),
        "additionalProperties": False,
    }


def _of_a_lab(kinds: list[str]) -> dict[str, Any]:
    """Return the form of a plug-in that is named by module and class; its own class checks its keys."""
    return {
        "title": "module:Class",
        "type": "object",
        "properties": {"kind": {"type": "string", "pattern": ":", "not": {"enum": list(kinds)}}},
        "required": ["kind"],
    }


def _nest(definitions: dict[str, Any]) -> None:
    """Describe plug-ins inside plug-ins: the forms of their group, with the keys of the block besides.

    The forms are written out once, with the keys of all such blocks, and each block says which of those it has.
    """
    blocks = {name: block for name, block in definitions.items() if NESTED in block}
    for group in dict.fromkeys(block[NESTED] for block in blocks.values()):
        some = {name: block for name, block in blocks.items() if block[NESTED] == group}
        own = {key: value for block in some.values() for key, value in block["properties"].items() if key != "kind"}
        forms = [
            {**form, "properties": {**form["properties"], **own}} if "properties" in form else form
            for form in definitions[group]["oneOf"]
        ]
        definitions[f"{group}.inside"] = {"oneOf": forms}
        for name, block in some.items():
            definitions[name] = {
                "title": block["title"],
                "$ref": f"#/$defs/{group}.inside",
                "required": block["required"],
                "not": {"anyOf": [{"required": [key]} for key in own if key not in block["properties"]]},
            }


def _without_defaults(part: Any) -> Any:
    """Drop defaults, which are in base units and not as a file writes them, and bounds that have no place in text."""
    if isinstance(part, list):
        return [_without_defaults(item) for item in part]
    if not isinstance(part, dict):
        return part
    found: dict[str, Any] = {}
    for key, value in part.items():
        if key in ("properties", "$defs"):
            found[key] = {name: _without_defaults(inner) for name, inner in value.items()}
        elif key not in _DROPPED:
            found[key] = _without_defaults(value)
    return found
