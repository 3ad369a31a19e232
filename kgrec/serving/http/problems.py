"""Errors of the service: every one is a problem of RFC 9457."""

import re

import msgspec

from kgrec.errors import CapabilityError, KgrecError, UnknownIdError
from kgrec.serving.http.types import ProblemBody

KINDS = {
    "bad-request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not-found": 404,
    "unknown-user": 404,
    "no-list": 404,
    "method-not-allowed": 405,
    "not-capable": 409,
    "too-large": 413,
    "unsupported-media-type": 415,
    "misdirected": 421,
    "invalid": 422,
    "unknown-item": 422,
    "internal": 500,
    "busy": 503,
    "not-ready": 503,
}
"""Kinds of problems, and their statuses."""

MEDIA = "application/problem+json"
_FIELD = re.compile(r" - at `\$\.?([^`]*)`$")


class ProblemError(Exception):
    """A request that is not answered.

    Args:
        kind: Name in ``KINDS``.
        detail: Why, in one line.
        field: Where in the request.
    """

    def __init__(self, kind: str, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.kind = kind
        self.status = KINDS[kind]
        self.detail = detail
        self.field = field

    def body(self, request_id: str) -> bytes:
        """Return the JSON of the answer."""
        title = self.kind.replace("-", " ")
        return msgspec.json.encode(
            ProblemBody(
                f"/problems/{self.kind}", title, self.status, self.detail, request_id, self.field
            )
        )


def problem_of(error: Exception, field: str = "") -> ProblemError:
    """Return what an error of kgrec is to a caller."""
    if isinstance(error, UnknownIdError):
        return ProblemError("unknown-item", str(error), field)
    if isinstance(error, CapabilityError):
        return ProblemError("not-capable", str(error), field)
    if isinstance(error, KgrecError):
        return ProblemError("invalid", str(error), field)

    return ProblemError("internal", "a bug in kgrec. The log has more.")


def invalid(error: msgspec.ValidationError) -> ProblemError:
    """Return what a body that does not fit its type is: msgspec says where."""
    text = str(error)
    found = _FIELD.search(text)
    return ProblemError("invalid", f"{_FIELD.sub('', text)}.", "" if found is None else found[1])
