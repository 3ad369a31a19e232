"""A graph from nothing but a table of items: what its columns hold is found, and every
recommendation can be traced to a cell of it.
"""

from pathlib import Path

import kgrec

CLICKS = (
    "ann 1 2 5 6, bob 3 4 7 8, cleo 1 2 6 5, dan 3 4 8 7, eve 1 5 6 2, fay 4 7 8 3, gus 2 6 "
    "5 1, hal 3 7 8 4"
)
lines = [
    f"{user},{film},{moment}"
    for user, *films in map(str.split, CLICKS.split(","))
    for moment, film in enumerate(films)
]
Path("clicks.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n")
Path("films.csv").write_text(
    "item_id,title,director,actors,genres,year,budget,url\n"
    "1,Alien,Ridley Scott,Sigourney Weaver|Tom Skerritt,Horror|SciFi,1979,11,http://films.org/1\n"
    "2,Blade Runner,Ridley Scott,Harrison Ford|Rutger Hauer,SciFi,1982,30,http://films.org/2\n"
    "3,Unforgiven,Clint Eastwood,Clint Eastwood|Gene Hackman,Western,1992,14.4,http://films.org/3\n"
    "4,Pale Rider,Clint Eastwood,Clint Eastwood|Michael "
    "Moriarty,Western,1985,6.9,http://films.org/4\n"
    "5,Aliens,James Cameron,Sigourney Weaver|Michael "
    "Biehn,Action|SciFi,1986,18.5,http://films.org/5\n"
    "6,Legend,Ridley Scott,Tom Cruise|Tim Curry,Fantasy,1985,24.5,http://films.org/6\n"
    "7,Silverado,Lawrence Kasdan,Kevin Kline|Scott Glenn,Western,1985,23,http://films.org/7\n"
    "8,Bronco Billy,Clint Eastwood,Clint Eastwood|Sondra "
    "Locke,Comedy|Western,1980,6.5,http://films.org/8\n"
)

triples = kgrec.triples_from_table(
    "films.csv", item="item_id", spaces={"director": "person", "actors": "person"}, years="decade"
)
for column in triples.columns:
    print(
        f"{column.column:10} {column.kind:10} {column.distinct:3} values {column.triples:3} "
        f"triples  {column.note}"
    )

log = kgrec.read_interactions("clicks.csv")
data = kgrec.Dataset.build(log, triples, split="leave-one-out")
run = kgrec.fit("lightgcn-kg", data, dim=16, epochs=30, seed=0)

best = run.recommend("ann", k=1)["item"][0]
explanation = run.explain("ann", best, k=3)
print(explanation.to_text())

# Clint Eastwood, who directs and acts, is one entity; a fact is cited by line and column of the
# table.
assert "person=Clint Eastwood" in data.triples.entities
assert any(
    fact.column
    for path in explanation.paths
    for hop in path.hops
    for fact in hop.relations[0].facts
)
