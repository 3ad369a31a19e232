"""Lists of requests at the same time: searched for at once, and each as it is alone."""

import asyncio

import numpy as np
import pytest

import kgrec
from kgrec.ops.strangers import PERSONAL
from kgrec.serving.tables.folder import open_tables
from kgrec.serving.tables.ranking import Person, Ranked, Ranking
from kgrec.serving.write_tables import write_tables

pytest.importorskip("starlette", reason="needs starlette, of the serve extra")


@pytest.fixture(scope="module")
def ranking(tmp_path_factory):
    import kgrec.serving.write_tables as writing

    folder = tmp_path_factory.mktemp("together") / "t"
    before, writing._SEARCHED = writing._SEARCHED, 0  # rounded vectors for a small catalog, too
    try:
        write_tables(kgrec.fit("bprmf", kgrec.load("films"), epochs=1), folder)
    finally:
        writing._SEARCHED = before
    return Ranking(open_tables(folder))


def counted(ranking, monkeypatch):
    sizes = []
    found = ranking.columns_of
    monkeypatch.setattr(
        ranking, "columns_of", lambda lists: [sizes.append(len(lists)), found(lists)][1]
    )
    return sizes


def same(one, other):
    return one.items.tolist() == other.items.tolist() and (
        one.scores.tobytes() == other.scores.tobytes() and one.kind == other.kind
    )


def test_requests_of_one_turn_are_one_search_and_lists_stay_the_same(ranking, monkeypatch):
    from kgrec.serving.http.together import Together

    alone = [ranking.recommend(Person(row), 7) for row in range(70)]
    sizes = counted(ranking, monkeypatch)
    together = Together(ranking)

    async def one(row):
        (found,) = await together.end([ranking.begin(Person(row), 7)])
        return found

    async def all_of_them():
        first = await asyncio.gather(*[one(row) for row in range(70)])
        return first, await together.end([ranking.begin(Person(row), 7) for row in (3, 4)])

    first, later = asyncio.run(all_of_them())
    assert sizes == [32, 32, 6, 2]
    assert all(same(*pair) for pair in zip(first, alone, strict=True))
    assert all(same(*pair) for pair in zip(later, alone[3:5], strict=True))


def test_what_needs_no_search_does_not_wait_for_one(ranking, monkeypatch):
    from kgrec.serving.http.together import Together

    sizes = counted(ranking, monkeypatch)
    made = Ranked(np.arange(2), np.ones(2), np.zeros(2), PERSONAL)
    few = ranking.begin(Person(0), 2, candidates=np.arange(5))
    found = asyncio.run(Together(ranking).end([made, few]))
    assert found[0] is made
    assert same(found[1], ranking.recommend(Person(0), 2, candidates=np.arange(5)))
    assert sizes == [1]  # of `recommend`, which has nothing to search


def test_an_error_and_a_client_that_leaves_are_told_apart(ranking, monkeypatch):
    from kgrec.serving.http.together import Together

    together = Together(ranking)
    alone = ranking.recommend(Person(1), 7)

    async def leaves():
        going, staying = (
            asyncio.create_task(together.end([ranking.begin(Person(row), 7)])) for row in (0, 1)
        )
        await asyncio.sleep(0)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        assert same((await staying)[0], alone)

    asyncio.run(leaves())
    monkeypatch.setattr(ranking, "columns_of", lambda lists: 1 / 0)

    async def fails():
        asked = [together.end([ranking.begin(Person(row), 7)]) for row in (0, 1)]
        return await asyncio.gather(*asked, return_exceptions=True)

    for _ in range(2):  # and again: the next batch is a new one
        assert [type(one) for one in asyncio.run(fails())] == [ZeroDivisionError] * 2
