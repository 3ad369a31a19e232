"""Tables of sentences, relations in words, and titles."""

import string

import pytest

from kgrec.data.records.triples import readable
from kgrec.errors import ConfigError
from kgrec.languages import LANGUAGES, ambiguous, check_language, language, spoken
from kgrec.languages.language import FRAMES

# key or label: from head to tail, from tail to head; "" where only an arrow is sure
AWKWARD = {
    "http://x.org/isSequelOf": ("is sequel of", "has sequel"),
    "http://x.org/starringIn": ("starring in", ""),
    "http://x.org/hasActor": ("has actor", "is actor of"),
    "http://www.wikidata.org/prop/direct/P57": ("", ""),
    "wdt:P57": ("", ""),
    "interacts with": ("interacts with", ""),
    "influencedBy": ("influenced by", "influenced"),
    "isInfluencedBy": ("is influenced by", "influenced"),
    "directed_by": ("directed by", "directed"),
    "isPartOf": ("is part of", "includes"),
    "hasPart": ("includes", "is part of"),
    "memberOf": ("member of", "has member"),
    "isMadeOf": ("is made of", ""),
    "hasSeen": ("has seen", ""),
    "knows": ("knows", ""),
    "won": ("won", ""),
    "godparent": ("godparent", "is godparent of"),
    "original_language": ("original language", "is original language of"),
    "languageOfWork": ("language of work", ""),
    "won award": ("won award", ""),
    "contains-song": ("contains song", ""),
    "receivedAward": ("received award", ""),
    "playsInstrument": ("plays instrument", ""),
    "recordLabel": ("released by", "released"),
    "music genre": ("music genre", "is music genre of"),
}


@pytest.mark.parametrize("key", AWKWARD)
def test_relations_read_both_ways_or_not_at_all(key):
    both = language("en").relation(readable(key))
    assert both == AWKWARD[key]
    for words in both:
        assert "is is" not in words
        assert not words.endswith("of of")
        assert "is has" not in words


def test_another_language_guesses_nothing_from_an_english_label():
    german = language("de")
    assert german.relation("director") == ("unter der Regie von", "führte Regie bei")
    for key in ("isSequelOf", "starringIn", "hasActor", "P57", "godparent"):
        assert german.relation(readable(key)) == ("", "")


def _braces(sentence):
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_language_has_every_sentence_with_the_same_names():
    english = language("en").table
    for code in LANGUAGES:
        table = language(code).table
        assert set(table["relations"]) == set(english["relations"])
        assert all(len(both) == 2 and all(both) for both in table["relations"].values())
        for section in FRAMES:
            assert set(table[section]) == set(english[section])
            for key, sentence in table[section].items():
                names = _braces(sentence) | {"participle"}
                assert names == _braces(english[section][key]) | {"participle"} or (
                    section == "interaction" and names >= _braces(sentence)
                )


def test_an_unknown_language_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match=r"'fr' is unknown.* Known: de, en"):
        check_language("fr")


@pytest.mark.parametrize(
    ("verb", "role", "code", "said"),
    [
        ("listened to", "because", "en", "because you listened to *Creep*"),
        ("saw", "also_by", "en", "- also seen by - Bob"),
        ("interacted with", "who_also", "en", "- who also interacted with - *Creep*"),
        ("listened to", "because", "de", "weil du *Creep* gehört hast"),
        ("listened to", "also_by", "de", "- auch gehört von - Bob"),
        ("liked", "because", "de", "weil dir *Creep* gefallen hat"),
        ("frobbed", "because", "de", "weil *Creep* in deinem Verlauf steht"),
        ("interacted with", "you", "de", "*Creep* steht in deinem Verlauf"),
    ],
)
def test_verbs_stand_where_each_language_wants_them(verb, role, code, said):
    assert language(code).interaction(verb, role, item="*Creep*", who="Bob") == said


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("Silence of the Lambs, The", "The Silence of the Lambs"),
        ("Silence of the Lambs, The (1991)", "The Silence of the Lambs"),
        ("Beautiful Mind, A (2001)", "A Beautiful Mind"),
        ("Avventura, L' (1960)", "L'Avventura"),
        ("Alien (1979 film)", "Alien"),
        ("Live (Radiohead album)", "Live"),
        (
            "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
            "The City of Lost Children (La Cité des enfants perdus)",
        ),
        ("1984 (1956)", "1984"),
        ("(1991)", "(1991)"),
        ("(500) Days of Summer", "(500) Days of Summer"),
        ("2001: A Space Odyssey", "2001: A Space Odyssey"),
        ("Seven (a.k.a. Se7en)", "Seven (a.k.a. Se7en)"),
        ("Me, Myself, I", "Me, Myself, I"),
        ("http://dbpedia.org/resource/Am%C3%A9lie_(film)", "Amélie"),
        ("https://x.org/a#b", "b"),
        ("urn:isbn:978-3", "978-3"),
        ("f0", "f0"),
        ("a\x1b[2Jb\u202ec", r"a\x1b[2Jb\u202ec"),
        ("two\r\nlines", "two lines"),
        ("<b>bold</b>", "<b>bold</b>"),
    ],
)
def test_labels_are_said_as_people_say_them(label, said):
    assert spoken(label) == said


def test_what_tells_two_things_apart_stays():
    labels = ["Titanic (1997)", "Titanic (1953)", "Thing, The (1982)", "Heat (1995)", "Up (film)"]
    whole = ambiguous(labels, ["The Thing", "HEAT", "Alien"])
    assert whole == {"Titanic (1997)", "Titanic (1953)", "Thing, The (1982)", "Heat (1995)"}
    assert spoken("Thing, The (1982)", whole=True) == "The Thing (1982)"
    assert len(spoken("x" * 1_000_000)) == 200
