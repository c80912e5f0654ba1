"""The form of `approvals`: who must sign a plan before it is applied.

Part of the models of a spec. Holds public keys only.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from rollout.model.phrase import say
from rollout.model.signed_note import NoteError, parse_verifier
from rollout.model.spec import ApprovalRule
from rollout.specfile.fields import fault, in_project
from rollout.specfile.form import Form
from rollout.specfile.project import KeyFileError, Project


def _verifier(text: str, info: ValidationInfo) -> str:
    """Return the verifier key in the file; the path itself if a plan stores the spec."""
    project: Project | None = info.context
    if project is None or project.stored_key:
        return text
    make = say("`rollout approve --new-key NAME --out FILE` writes it to FILE.vkey")
    try:
        return str(parse_verifier(project.line(in_project(text, info))))
    except KeyFileError as error:
        raise fault("R0166", str(error.args[1]), make) from None
    except NoteError as error:
        raise fault(
            "R0166", say("the file has no verifier key: {cause}", cause=error), make
        ) from None


VerifierFile = Annotated[str, Field(min_length=1), AfterValidator(_verifier)]


class ApprovalsForm(Form):
    """Signatures that `rollout apply` requires for a plan of this spec."""

    required: Annotated[int, Field(ge=1)] = 1
    """Number of approvals by different keys."""
    keys: Annotated[list[VerifierFile], Field(min_length=1)]
    """Files with the verifier keys of the persons who may approve (`*.vkey`)."""
    not_author: bool = True
    """Whether the plan's author may not approve it."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        material = {text.rpartition("+")[2] for text in self.keys}
        if len(material) < len(self.keys):
            hint = say("name each person's key once: approvals count by key")
            raise fault("R0167", say("two entries have the same key"), hint, at=("keys",))
        if self.required > len(self.keys):
            hint = say("add keys, or require fewer approvals")
            message = say(
                "{required} approvals are required, but there are {keys} keys",
                required=self.required,
                keys=len(self.keys),
            )
            raise fault("R0167", message, hint, at=("required",))
        return self

    def built(self) -> ApprovalRule:
        """Return the rule of this form."""
        return ApprovalRule(self.required, tuple(self.keys), self.not_author)
