"""The words of code, messages and documents: the field's terms in plain American English."""

import io
import re
import tokenize

NAMES = {
    "asked": "request, query, requested",
    "told": "what it holds: text, record, summary",
    "judge": "evaluate",
    "judged": "evaluated",
    "nobody": "no_users",
}
"""Identifiers of kgrec that say too little, and what to say."""

PHRASES = {
    r"leav\w+ (it |them |this |that )?away|left away": "omit",
    r"anew": "again",
    r"judg(e|es|ed|ing)": "evaluate",
    r"nobody": "no one, no user",
    r"told of": "reported",
    r"where there (is|are) none": "if there is none",
    r"(go|goes) on with": "continue",
    r"stands? in (the(?! head)|a|an|its|each|which|several|many)": "is in",
    r"\w*(catalogue|colour|behaviour|neighbour|normalis|recognis|initialis|optimis)\w*": (
        "American spelling"
    ),
}
"""What a reader of the field stumbles over, and what to say."""

ALLOWED = {
    "kgrec/training": "rooms with work in progress",
    "kgrec/runs/folder.py": "likewise",
    "kgrec/explanation/explainer.py": "judge is a public keyword of Explainer.summary",
    "kgrec/cli/explain_summary.py": "it passes that keyword",
    "docs/moved-names.md": "names of version 0.1",
}
"""Files that are not looked at, and why; at most five."""


def pages(root, *patterns):
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            if not name.startswith(tuple(ALLOWED)):
                yield name, path.read_text(encoding="utf-8")


def test_names_say_what_they_hold(root):
    found = []
    for name, text in pages(root, "kgrec/**/*.py", "examples/*.py"):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            better = NAMES.get(token.string.lstrip("_").lower())
            if token.type == tokenize.NAME and better:
                found.append(f"{name}:{token.start[0]}: {token.string} (say: {better})")
    assert not found, "\n".join(found)


def test_sentences_are_plain(root):
    found = []
    documents = "README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md"
    documents += "docs/start/*.md", "docs/concepts/*.md", "docs/tutorials/*.md"
    for name, text in pages(root, "kgrec/**/*.py", "examples/*.py", *documents):
        prose = text.partition("## Words")[0] if name == "CONTRIBUTING.md" else text
        for phrase, better in PHRASES.items():
            for match in re.finditer(rf"\b({phrase})\b".replace(" ", r"\s+"), prose, re.I):
                line = prose.count("\n", 0, match.start()) + 1
                found.append(f"{name}:{line}: {match[0]!r} (say: {better})")
    assert not found, "\n".join(found)


def test_exceptions_stay_few():
    assert len(ALLOWED) <= 5
