"""Tables of phrases: what is read, and what is refused in which words."""

import numpy as np
import pytest

from kgrec.data.readers.phrases import read_phrases
from kgrec.data.records.wording import Phrase, Wording
from kgrec.errors import ConfigError, KgrecError
from kgrec.testing.worlds import knowledge

GRAPH = knowledge(np.array([[0, 0, 1], [1, 1, 0]]), ["a", "b"], 2)
HEAD = "relation,phrase,inverse,language\n"


def read(tmp_path, text):
    path = tmp_path / "phrases.csv"
    path.write_text(text, encoding="utf-8")
    return read_phrases(path, GRAPH)


def test_a_table_is_read_with_its_defaults(tmp_path):
    found = read(tmp_path, HEAD + "r0,directed by,directed,\nr0,von,führte Regie bei,DE\n")
    assert found == (
        Phrase("r0", "en", "directed by", "directed"),
        Phrase("r0", "de", "von", "führte Regie bei"),
    )
    assert read(tmp_path, "relation,phrase\nr1,shot in\ninteracts,heard\n") == (
        Phrase("r1", "en", "shot in"),
        Phrase("interacts", "en", "heard"),
    )


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("r9,shot in,,\n", r"csv:2: relation 'r9' is not in the graph.*Name its key or label"),
        ("r0,shot in,,\nr0,made in,,en\n", r"csv:3: relation 'r0' has a phrase in language 'en'"),
        ("r0,<b>shot</b> in,,\n", r"csv:2: phrase of 'r0': .* holds '<'.*plain words"),
        ("r0,shot in {tail},,\n", r"csv:2: .* holds '{'.*without markup and placeholders"),
        ("r0,shot in,*was*,\n", r"csv:2: inverse phrase of 'r0': .* holds '\*'"),
        ("r0,a &lt; b,,\n", r"holds '&lt;'"),
        ("r0,shot in,,fr\n", r"csv:2: language 'fr' is unknown.* Known: de, en"),
        ("r0,,,\n", r"csv:2: phrase of 'r0': is empty"),
        ("r0,a\u202eb,,\n", r"csv:2: .* a character that is not printed"),
        ("interacts,rated 1 of 5,,\n", r"csv:2: .*is how a low rating reads"),
        ("interacts:view,rated 4 of 5,,\n", r"csv:2: .*is how a low rating reads"),
        ("r0," + "x" * 200 + ",,\n", r"200 characters. A phrase has at most 80"),
    ],
)
def test_bad_rows_are_named_with_their_line(tmp_path, rows, says):
    with pytest.raises(ConfigError, match=says):
        read(tmp_path, HEAD + rows)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("relation,words\nr0,x\n", "no column 'phrase'"),
        ("relation,phrase,colour\nr0,x,y\n", "column 'colour' is unknown"),
    ],
)
def test_bad_columns_are_named(tmp_path, text, says):
    with pytest.raises(KgrecError, match=says):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("a\x1b[2Jb", "not printed"),
        ("a\nb", "not printed"),
        ("saw <b>", "holds '<'"),
        (" saw", "blanks around"),
        ("rated 1 of 5", "how a low rating reads"),
    ],
)
def test_a_verb_that_no_sentence_can_hold_is_refused(verb, says):
    with pytest.raises(ConfigError, match=says):
        Wording({"": verb})


def test_verbs_go_by_the_type_of_event():
    wording = Wording({"": "looked at", "purchase": "bought"})
    assert wording.verb("purchase") == "bought"
    assert wording.verb("view") == wording.verb() == "looked at"
    assert Wording().verb() is None
    assert Wording.from_dict(wording.to_dict()) == wording
