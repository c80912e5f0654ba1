"""The base of all models of a spec."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Form(BaseModel):
    """Common settings: camelCase, no unknown fields, no conversion of types.

    An optional field defaults to an empty value of its type, never to None. A field without a value
    (`select:`) is therefore refused: it must not select a whole region by mistake.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        model_title_generator=lambda form: form.__name__.removesuffix("Form"),
        strict=True,
        use_attribute_docstrings=True,
        validate_default=False,
    )
