"""Sections of a spec that a plugin, or one module, validates: annotations of pydantic fields."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import core_schema

from edgekit.core import plugins, suggest


class PluginSection:
    """Annotation: a mapping that plugin ``section[key]`` of ``kind`` validates.

    ``optional`` ones may be None; ``without`` names plugins that may not stand here: itself, in its own ``Config``;
    ``default`` names the one that is meant when the key is not there; ``beside`` has further names that are no
    plugins, and where their ``Config`` is: ``module:class``.
    """

    def __init__(
        self,
        kind: str,
        key: str,
        optional: bool = False,
        without: str | tuple[str, ...] = (),
        default: str = "",
        beside: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.key = key
        self.optional = optional
        self.without = (without,) if isinstance(without, str) else without
        self.default = default
        self.beside = dict(beside or {})

    def named(self, value: Mapping[str, Any]) -> object:
        """What stands under the key, or the default; None: neither."""
        return value.get(self.key, self.default or None)

    def names(self) -> tuple[str, ...]:
        """What may stand under the key."""
        return (*(name for name in plugins.names(self.kind) if name not in self.without), *self.beside)

    def config(self, name: str) -> Any:
        """The ``Config`` that validates the sections of ``name``, one of :meth:`names`."""
        if name not in self.beside:
            return plugins.load(self.kind, name).Config
        module, _, config = self.beside[name].partition(":")
        return getattr(importlib.import_module(module), config)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate, serialization=core_schema.plain_serializer_function_ser_schema(_dump)
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        configs = [self.config(name) for name in self.names()]
        return {"oneOf": [handler(config.__pydantic_core_schema__) for config in configs]}

    def _validate(self, value: Any, info: ValidationInfo) -> Any:
        known = self.names()
        if isinstance(value, BaseModel) or (value is None and self.optional):
            return value
        if not isinstance(value, dict):
            raise ValueError(f"expected a mapping with the key {self.key!r}; {suggest.allowed('', known)}")
        name = self.named(value)
        if name is None:
            raise ValueError(f"the key {self.key!r} is missing; allowed values: {', '.join(known)}")
        if name not in known:
            plugins.require_apart(self.kind, str(name))
            raise ValueError(f"{self.key}: {name!r} is unknown; {suggest.allowed(name, known)}")
        return self.config(str(name)).model_validate(value, context=info.context)


class ModuleSection:
    """Annotation: a mapping, or None, that the ``Config`` of one module validates; loaded when it is needed."""

    def __init__(self, module: str) -> None:
        self.module = module

    def _config(self) -> type[BaseModel]:
        config: type[BaseModel] = importlib.import_module(self.module).Config
        return config

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate, serialization=core_schema.plain_serializer_function_ser_schema(_dump)
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(self._config().__pydantic_core_schema__)

    def _validate(self, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, BaseModel) or value is None:
            return value
        return self._config().model_validate(value, context=info.context)


def _dump(value: BaseModel | None) -> Any:
    return None if value is None else value.model_dump(mode="json")
