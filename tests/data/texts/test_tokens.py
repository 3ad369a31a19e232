import pytest

from kgrec.data.texts.tokens import words_in


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  -- ", []),
        ("State-of-the-art: don't!", ["State", "of", "the", "art", "don't"]),
        ("AT&T paid $3.5 bn.", ["AT&T", "paid", "3.5", "bn"]),
        ("snake_case café na\u0131ve", ["snake", "case", "café", "na\u0131ve"]),
        ("cafe\u0301 हिन्दी में नमस्ते।", ["cafe\u0301", "हिन्दी", "में", "नमस्ते"]),
        ("Ελλάδα, Москва, שלום", ["Ελλάδα", "Москва", "שלום"]),
        ("東京タワー 2020年", ["東", "京", "タ", "ワ", "ー", "2020", "年"]),
        ("한국어 텍스트", ["한국어", "텍스트"]),
    ],
)
def test_words_in_any_language(text, words):
    found = words_in(text)
    assert [word for word, _, _ in found] == words
    assert [text[first:end] for _, first, end in found] == words
