"""One offline file of what the inspector shows of some users."""

from collections.abc import Sequence
from typing import Any

from kgrec.errors import ConfigError, KgrecError
from kgrec.serving.inspector import Inspector
from kgrec.serving.pages import offline_page

PATHS = 50
_PAIRS = 10


def export_page(inspector: Inspector, users: Sequence[str], top: int = 10) -> str:
    """Return one HTML file with some users' lists, explanations, and comparisons.

    The numbers are those of the server; what needs the model itself (another search, a change of
    the likes) is not in the file, and the page says so.

    Raises:
        UnknownIdError: If a user is not known.
        ConfigError: If there are none.
    """
    if not users:
        raise ConfigError("name at least one user to export.")

    return offline_page(collect(inspector, users, top))


def collect(inspector: Inspector, users: Sequence[str], top: int) -> dict[str, Any]:
    """Return the data of the offline page; what the model cannot answer is in it as its error."""
    data: dict[str, Any] = {
        "offline": True,
        "run": inspector.about(),
        "users": [],
        "recommend": {},
        "explain": {},
        "compare": {},
        "flip": {},
    }
    for user in dict.fromkeys(users):
        listed = inspector.recommend(user, top)
        history = listed["history"]
        items = [row["item"] for row in listed["rows"]]
        data["users"].append({"user": user, "label": history["label"], "history": history["total"]})
        data["recommend"][user] = listed
        data["explain"][user] = {
            item: _or_error(lambda user=user, item=item: inspector.explain(user, item, PATHS))
            for item in items
        }
        pairs = [
            (first, second)
            for place, first in enumerate(items[:_PAIRS])
            for second in items[place + 1 : _PAIRS]
        ]
        data["compare"][user] = [
            [first, second, _slim(inspector, user, first, second)] for first, second in pairs
        ]
        data["flip"][user] = _or_error(lambda user=user: inspector.flip(user))

    data["summary"] = {
        by: _or_error(lambda by=by: inspector.summary(by)) for by in ("relation", "type")
    }
    return data


def _slim(inspector: Inspector, user: str, first: str, second: str) -> dict[str, Any]:
    """Return a comparison without its explanations, which are in the file already."""
    found = _or_error(lambda: inspector.compare(user, first, second))
    return {name: value for name, value in found.items() if name != "views"}


def _or_error(question: Any) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = question()
    except KgrecError as error:
        return {"error": str(error)}
    return answer
