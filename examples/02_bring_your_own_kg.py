"""Your own clicks and your own graph: a CSV, a Turtle file, and a file of links between them."""

from pathlib import Path

import kgrec

Path("clicks.csv").write_text(
    "who,what,when\n"
    "ann,book-1,100\nann,book-2,110\nann,book-3,120\n"
    "bob,book-2,105\nbob,book-4,130\nbob,book-5,140\n"
    "cleo,book-1,101\ncleo,book-3,111\ncleo,book-4,150\n"
    "dan,book-5,102\ndan,book-1,160\ndan,book-6,170\n"
)
Path("books.ttl").write_text(
    "@prefix : <https://example.org/> .\n"
    "@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .\n"
    ':dracula rdfs:label "Dracula" ; :author :stoker ; :genre :gothic .\n'
    ':lair rdfs:label "The Lair of the White Worm" ; :author :stoker ; :genre :gothic .\n'
    ':emma rdfs:label "Emma" ; :author :austen ; :genre :romance .\n'
    ':persuasion rdfs:label "Persuasion" ; :author :austen ; :genre :romance .\n'
    ':udolpho rdfs:label "The Mysteries of Udolpho" ; :author :radcliffe ; :genre :gothic .\n'
    ':stoker rdfs:label "Bram Stoker" . :austen rdfs:label "Jane Austen" . :radcliffe rdfs:label "Ann Radcliffe" .\n'
)
Path("links.csv").write_text(
    "item,entity\n"
    "book-1,https://example.org/dracula\nbook-2,https://example.org/emma\nbook-3,https://example.org/lair\n"
    "book-4,https://example.org/persuasion\nbook-5,https://example.org/udolpho\n"
)

log = kgrec.read_interactions("clicks.csv", user="who", item="what", time="when")
triples = kgrec.read_triples("books.ttl")
data = kgrec.Dataset.build(log, triples, links="links.csv", split="leave-one-out")

for note in data.report.notes:
    print(note)
print(data.report.counts)
print([data.item_label(row) for row in range(data.num_items)])

run = kgrec.fit("kgat", data, dim=16, epochs=5, seed=0)
print(run.recommend(["ann", "bob"], k=2))
print(run.recommend(history=["book-1", "book-3"], k=2))

# Book 6 is in no graph, and is kept.
assert data.num_items == 6
assert data.item_label(data.items.row("book-1")) == "Dracula"
