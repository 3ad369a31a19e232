"""The OpenAPI document, made of the types, and a page that lists the endpoints."""

from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any

import msgspec

from kgrec._version import __version__
from kgrec.serving.http.problems import MEDIA
from kgrec.serving.http.types import (
    ExplainRequest,
    Health,
    ItemsAnswer,
    ProblemBody,
    RecommendAnswer,
    RecommendRequest,
    RunAnswer,
    ScoreAnswer,
    ScoreRequest,
    SimilarAnswer,
    SimilarRequest,
    Version,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of the document.

    Attributes:
        method: In lower case.
        path: Its path.
        summary: What it does.
        answer: Type of its answer; None for what has no type here.
        body: Type of its body.
        query: Names of what a query may hold: fields of ``of``, or plain texts.
        of: Type whose fields the query's parts are.
    """

    method: str
    path: str
    summary: str
    answer: type | None
    body: type | None = None
    query: tuple[str, ...] = ()
    of: type | None = None


_LISTED = (
    *("user", "k", "history", "items", "exclude", "allow_seen", "on_unknown", "fallback"),
    *("diversity", "diversity_by", "popularity", "calibrate", "new_items"),
)
ENDPOINTS = (
    Endpoint(
        *("get", "/v1/recommend", "One list", RecommendAnswer),
        query=(*_LISTED, "reasons", "reason_ms", "language"),
        of=RecommendRequest,
    ),
    Endpoint("post", "/v1/recommend", "One list or many", RecommendAnswer, RecommendRequest),
    Endpoint(
        *("get", "/v1/similar", "Items near to one", SimilarAnswer),
        query=("item", "k"),
        of=SimilarRequest,
    ),
    Endpoint("post", "/v1/similar", "Items near to one", SimilarAnswer, SimilarRequest),
    Endpoint("post", "/v1/score", "Scores of items", ScoreAnswer, ScoreRequest),
    Endpoint("post", "/v1/explain", "Why an item is where it is", None, ExplainRequest),
    Endpoint(
        *("get", "/v1/items", "Items by ids or facts, and what lists can be filtered by"),
        ItemsAnswer,
        query=("id", "where", "limit"),
    ),
    Endpoint("get", "/v1/run", "What is served", RunAnswer),
    Endpoint("get", "/v1/live", "Whether the process lives", Health),
    Endpoint("get", "/v1/ready", "Whether lists may be asked for", Health),
    Endpoint("get", "/v1/version", "Versions", Version),
    Endpoint("post", "/v1/reload", "Look for newer tables at once", None),
    Endpoint("get", "/metrics", "Counters for Prometheus", None),
)


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    types = {
        one: None
        for endpoint in ENDPOINTS
        for one in (endpoint.answer, endpoint.body, endpoint.of)
        if one is not None
    }
    every = [*types, ProblemBody]
    shown, components = msgspec.json.schema_components(
        every, ref_template="#/components/schemas/{name}"
    )
    references = dict(zip(every, shown, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method] = _operation(
            endpoint, references, components
        )

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kgrec",
            "version": __version__,
            "description": "Lists of a trained recommender. Ids are text. Scores of different "
            "models, and of different kinds of lists, cannot be compared.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        "security": [{}, {"key": []}, {"header": []}],
    }


def _operation(
    endpoint: Endpoint, references: dict[Any, Any], components: dict[str, Any]
) -> dict[str, Any]:
    problem = {MEDIA: {"schema": references[ProblemBody]}}
    answer: dict[str, Any] = {"description": "The answer."}
    if endpoint.answer is not None:
        answer["content"] = {"application/json": {"schema": references[endpoint.answer]}}

    found: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": endpoint.method + endpoint.path.replace("/v1", "").replace("/", "_"),
        "responses": {
            "202" if endpoint.path == "/v1/reload" else "200": answer,
            "default": {"description": "A problem (RFC 9457).", "content": problem},
        },
    }
    if endpoint.body is not None:
        schema = references[endpoint.body]
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    if endpoint.query:
        known = components[endpoint.of.__name__]["properties"] if endpoint.of else {}
        found["parameters"] = [
            {"name": name, "in": "query", "schema": known.get(name, {"type": "string"})}
            for name in endpoint.query
        ]

    return found


@cache
def page() -> str:
    """Return a page that lists the endpoints; it needs no script and nothing from elsewhere."""
    rows = "".join(
        f"<tr><td><code>{one.method.upper()} {escape(one.path)}</code></td>"
        f"<td>{escape(one.summary)}</td></tr>"
        for one in ENDPOINTS
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>kgrec</title>'
        '<link rel="stylesheet" href="style.css"></head><body><h1>kgrec</h1>'
        f"<p>Version {escape(__version__)}. Requests and answers are described in "
        '<a href="openapi.json">openapi.json</a>.</p>'
        f"<table><tr><th>Endpoint</th><th>What it does</th></tr>{rows}</table></body></html>"
    )
