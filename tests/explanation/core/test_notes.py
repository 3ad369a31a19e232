"""Notes in the language of an explanation."""

import re
from dataclasses import replace

import pytest

import kgrec
from kgrec.explanation.core.records import Explanation
from kgrec.languages import LANGUAGES, language
from kgrec.testing import worlds


def test_every_note_has_a_sentence_in_every_language_and_comes_back_from_english():
    english = language("en").table
    values = {"model": "ease", "reach": "1 hop", "count": 3, "length": 3, "walks": "1e+03"}
    values |= {"budget": 9, "value": "0.1", "likes": "", "hidden": "", "least": ""}
    values |= {"most": 5, "why": "Something is so"}
    for section in ("notes", "parts"):
        for key in english[section]:
            sentence = language("en").say(f"{section}.{key}", **values)
            for code in LANGUAGES:
                own = {**values}
                if code == "de":
                    own["reach"] = "1 Schritt"
                assert language(code).translated(section, sentence) == language(code).say(
                    f"{section}.{key}", **own
                )


@pytest.mark.parametrize(
    "note", ["", "A note of someone else.", "{braces} (a|b)*", "Nothing \n\n x"]
)
def test_what_is_no_sentence_of_ours_stays(note):
    for code in LANGUAGES:
        assert language(code).translated("notes", note) == note


def test_notes_of_a_run_are_in_its_language_and_hold(tmp_path):
    likes = [(user, item) for user in range(8) for item in range(8) if (user * 3 + item) % 4 < 2]
    data = worlds.dataset(likes, triples=[(item, 0, 8 + item % 3) for item in range(8)])
    run = kgrec.fit("ease", data)
    for one in (run, kgrec.fit("lightgcn-kg", data, dim=8, epochs=1, patience=0)):
        explainer = one.explainer()
        speech = one.explainer(language="de").naming.speech
        for asked in (
            {"item": "i7"},
            {"item": data.items.key(int(data.train.item[0])), "max_length": 1},
            {"item": "i7", "history": ["i1", "i2"]},
            {"item": "i7", "users": "hide", "max_length": 2},
            {"item": "i7", "relations": {"allow": []}},
        ):
            found = explainer.explain("u0", **asked)
            german = speech.explanation(found)
            assert len(german.notes) == len(found.notes)
            for note, said in zip(found.notes, german.notes, strict=True):
                assert said != note
                assert not re.search(r"\b(the|of|no|path|users?)\b", said, re.I), said

            again = Explanation.from_json(german.to_json())
            assert again.notes == german.notes
            assert again.verify(explainer) == []
            assert replace(again, notes=found.notes).verify(explainer) == []
            wrong = replace(again, notes=(*again.notes, "Something else."))
            assert wrong.verify(explainer)
