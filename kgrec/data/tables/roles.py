"""Which column of a table is which: by what the caller says, by names, by values.

Nothing is guessed in silence: every choice has a reason that is reported, and where the evidence
does not suffice the reading stops with a question.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from kgrec.data.records.report import ColumnRole
from kgrec.data.tables.delimited import Table, find_column, plain_name
from kgrec.errors import ConfigError, FormatError

GIVEN = "given"
BY_NAME = "by its name"
BY_POSITION = "by position"
LEFT = "the only column left"

_ID_ENDINGS = (
    *("", "id", "ids", "iri", "uri", "key", "code", "no", "nr", "num", "number", "uuid", "guid"),
    *("ref", "identifier", "index", "idx", "hash", "nummer", "numero"),
)
_NAME_ENDINGS = ("name", "title", "label")
_SAMPLE = 2_000
_MOSTLY = 0.95
_AGREES = 0.5
_FEW_ROWS = 10  # below which different values in every row mean nothing


@dataclass(frozen=True, slots=True)
class Names:
    """Names of columns of one role, without case, blanks and signs.

    Attributes:
        first: Names that say it in general, the preferred first.
        nouns: What the field calls it; two of them in one table are a question.
        last: Where no other name is there.
        ends: Endings that say it where no other name does.
        ids: Whether the names may end as those of ids do ("user_id", "user key").
    """

    first: tuple[str, ...]
    nouns: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    ids: bool = False

    def rank(self, column: str) -> tuple[int, str, int] | None:
        """Return how well a name says it: tier, word and form, the least the best."""
        plain = plain_name(column)
        for tier, words in enumerate((self.first, self.nouns, self.last)):
            for word in words:
                form = self._form(plain, word)
                if form is not None:
                    return tier, word, form

        if any(plain.endswith(end) for end in self.ends):
            return 1, plain, 0

        return None

    def _form(self, plain: str, word: str) -> int | None:
        """Return 0 where a name is the word or an id of it, 1 where it is its name."""
        if plain == word:
            return 0
        if not self.ids:
            return None

        if plain == f"id{word}" or (plain.startswith(word) and plain[len(word) :] in _ID_ENDINGS):
            return 0
        if plain.startswith(word) and plain[len(word) :] in _NAME_ENDINGS:
            return 1

        return None


USER = Names(
    ("user", "uid", "users"),
    (
        *("customer", "client", "visitor", "account", "member", "reviewer", "buyer", "shopper"),
        *("consumer", "person", "people", "reader", "listener", "viewer", "subscriber", "patron"),
        *("household", "student", "learner", "player", "guest", "profile", "cust", "usr", "login"),
        *("kunde", "kunden", "benutzer", "nutzer", "cliente", "usuario", "utilisateur", "who"),
        *("cookie", "email", "mail", "device", "patient", "employee", "userpseudo"),
        *("useremail", "customeremail", "clientemail", "buyeremail", "memberemail"),
    ),
    ("session", "usersession"),
    ids=True,
)
ITEM = Names(
    ("item", "iid", "items"),
    (
        *("movie", "film", "book", "track", "song", "artist", "product", "asin", "news"),
        *("business", "isbn", "isbn13", "article", "sku", "stock", "prod", "productsku", "ean"),
        *("upc", "gtin", "album", "game", "app", "recipe", "course", "video", "show", "series"),
        *("hotel", "restaurant", "poi", "venue", "place", "listing", "offer", "property", "job"),
        *("post", "paper", "document", "doc", "page", "artwork", "beer", "wine", "dish", "good"),
        *("goods", "media", "content", "anime", "podcast", "episode", "thing", "artikel"),
        *("produkt", "produit", "producto", "articulo", "what", "tweet", "question", "question"),
    ),
    ("url", "link", "iri", "uri"),
    ids=True,
)
TIME = Names(
    (
        *("timestamp", "time", "unixreviewtime", "datetime", "date", "ts", "when", "unixtime"),
        *("epoch", "eventtime", "eventtimestamp", "eventdate", "tdat", "datum", "zeit"),
        *("zeitstempel", "zeitpunkt", "fecha", "horodatage", "dateheure", "timestampms"),
        *("timestamps", "unixtimestamp", "timems", "tsms", "reviewtime"),
    ),
    ends=(
        *("timestamp", "datetime", "createdat", "updatedat", "orderedat", "viewedat", "clickedat"),
        *("purchasedat", "occurredat", "ratedat", "addedat", "listenedat", "playedat", "boughtat"),
        *("orderdate", "invoicedate", "purchasedate", "visitdate", "reviewdate", "saledate"),
        *("transactiondate", "ratingdate", "bookingdate", "clickdate", "viewdate", "createddate"),
        *("ordertime", "purchasetime", "visittime", "clicktime", "actiontime", "transactiontime"),
        *("creationdate", "creationtime", "interactiontime", "requesttime", "logtime"),
    ),
)
RATING = Names(
    ("rating", "ratings", "stars", "score", "overall", "grade", "bewertung", "puntuacion"),
    ends=("rating", "stars"),
)
EVENT = Names(
    (
        *("event", "eventtype", "eventname", "action", "actiontype", "interaction"),
        *("interactiontype", "behavior", "behaviortype", "userbehavior", "activity"),
        *("ereignis", "aktion", "evento"),
    )
)
WEIGHT = Names(("weight", "confidence", "gewicht"))
QUANTITY = Names(
    ("quantity", "qty", "units", "playcount", "plays", "menge", "anzahl", "cantidad", "quantite")
)
HEAD = Names(
    (
        *("head", "subject", "source", "from", "h", "s", "subj", "start", "startid", "src", "sub"),
        *("node1", "entity1", "fromnode", "fromid", "startnode", "sourcenode", "parent", "x"),
        *("subjekt", "sujet", "sujeto", "soggetto", "onderwerp", "kopf", "quelle", "origen"),
    ),
    ids=True,
)
RELATION = Names(
    (
        *("relation", "predicate", "property", "r", "p", "rel", "pred", "prop", "edgetype"),
        *("relationtype", "relationshiptype", "relationship", "reltype", "edge", "edgelabel"),
        *("verb", "link", "type", "label", "kind", "role", "prädikat", "praedikat", "prédicat"),
        *("predicat",),
        *("predicado", "predicato", "predicaat", "beziehung", "eigenschaft", "kante", "relacion"),
        *("propriété", "propriete", "propiedad", "relazione", "relatie"),
    ),
    ids=True,
)
TAIL = Names(
    (
        *("tail", "object", "target", "to", "t", "o", "obj", "end", "endid", "dst", "dest"),
        *("destination", "node2", "entity2", "tonode", "toid", "endnode", "targetnode", "value"),
        *("child", "y", "objekt", "objet", "objeto", "oggetto", "schwanz", "ziel", "cible"),
        *("destino",),
    ),
    ids=True,
)
ENTITY = Names(
    ("entityiri", "entityid", "entity", "iri", "uri", "entityuri"),
    (
        *("wikidata", "qid", "wikidataid", "wikidatairi", "dbpedia", "dbpediauri", "dbpediairi"),
        *("freebase", "freebaseid", "mid", "node", "nodeid", "resource", "concept", "sameas"),
        *("kgid", "kgentity", "kg", "target", "tail", "object"),
    ),
)
ITEM_KEY = Names(ITEM.first, ITEM.nouns, ("id", "ids", "key", "code", *ITEM.last), ids=True)
ROLE_NAMES: Mapping[str, Names] = {
    "user": USER,
    "item": ITEM,
    "time": TIME,
    "rating": RATING,
    "event": EVENT,
    "weight": WEIGHT,
    "quantity": QUANTITY,
    "head": HEAD,
    "relation": RELATION,
    "tail": TAIL,
    "entity": ENTITY,
}
_EVENT_WORD = re.compile(
    r"(?i)(?:(?:add|remove|page|product|item|detail|begin|start)[ _-]?(?:to|from)?[ _-]?)?(?:page|"
    r"product|item)?[ _-]?(?:views?|viewed|pv|clicks?|clicked|carts?|basket|purchased?|buy|bought|"
    r"orders?|ordered|transactions?|checkout|fav(?:ou?rites?)?|wish-?list|impressions?|likes?|"
    r"shares?|saves?|returns?|refunds?|removes?|search)"
)
# Columns of logs that are neither users nor items, whatever they hold.
_OTHERS = Names(
    (
        *("", "id", "row", "rowid", "index", "idx", "no", "nr", "line", "event", "eventid"),
        *("order", "invoice", "transaction", "basket", "cart", "receipt", "review", "log", "click"),
        *("impression", "request", "visit", "store", "shop", "branch", "channel", "saleschannel"),
        *("price", "unitprice", "amount", "total", "revenue", "discount", "currency", "cost"),
        *("country", "city", "region", "zip", "postcode", "lang", "language", "locale", "ip"),
        *("browser", "os", "useragent", "agent", "referrer", "referer", "platform", "source"),
        *("category", "categorycode", "brand", "color", "size", "title", "name", "description"),
        *("text", "comment", "summary", "tag", "tags", "genre", "genres", "gender", "age"),
        *("usersession", "position", "rank", "label", "unnamed0", "count", "day", "hour", "month"),
        *("week", "weekday", "year", "geo", "latitude", "longitude", "lat", "lon", "helpful"),
    ),
    ids=True,
)


def header_words(*roles: str) -> tuple[frozenset[str], ...]:
    """Return, for each role, every name by which a first row may be recognized as a header."""
    return tuple(_words(ROLE_NAMES[role]) for role in roles)


def _words(names: Names) -> frozenset[str]:
    words = {*names.first, *names.nouns, *names.last}
    if names.ids:
        words |= {word + end for word in words for end in _ID_ENDINGS}
    return frozenset(words - {""})


@dataclass(frozen=True, slots=True)
class Known:
    """Ids that another file holds.

    Attributes:
        name: The file.
        ids: The ids.
    """

    name: str
    ids: pl.Series

    def share(self, cells: pl.Series) -> float:
        """Return the share of the distinct cells, of a sample, that are among the ids."""
        sample = cells.head(_SAMPLE).cast(pl.String, strict=False).drop_nulls().unique()
        if not len(sample):
            return 0.0
        return float(sample.is_in(self.ids.implode()).sum()) / len(sample)

    def likeness(self, cells: pl.Series) -> float:
        """Return the larger share: of the cells among the ids, or of the ids among the cells."""
        text = cells.cast(pl.String, strict=False).drop_nulls()
        sample = self.ids.head(_SAMPLE)
        if not len(sample) or not len(text):
            return 0.0
        covered = float(sample.is_in(text.implode()).sum()) / len(sample)
        return max(covered, self.share(text))


@dataclass(slots=True)
class Search:
    """A search for the columns of a table.

    Attributes:
        table: The table; its first rows do.
        wanted: Column by role as the caller gave it.
        found: Column by role.
        why: Reason by role.
        unread: Columns by role that could be read where the caller names them.
    """

    table: Table
    wanted: Mapping[str, str | None]
    found: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The table's columns."""
        return self.table.frame.columns

    @property
    def free(self) -> list[str]:
        """The columns without a role."""
        taken = set(self.found.values())
        return [column for column in self.columns if column not in taken]

    def take(self, role: str, column: str, why: str) -> None:
        """Say what a column is."""
        self.found[role] = column
        self.why[role] = why

    def given(self, roles: Sequence[str]) -> None:
        """Take what the caller says.

        Raises:
            FormatError: If there is no such column.
        """
        for role in roles:
            column = find_column(self.table, self.wanted.get(role), ())
            if column is not None:
                self.take(role, column, GIVEN)

    def named(self, roles: Sequence[str]) -> dict[str, list[str]]:
        """Take what names say, and return the columns among which they do not decide, by role.

        A name of an earlier role goes before one of a later role, but for one that says it better.
        """
        unclear: dict[str, list[str]] = {}
        if not self.table.header:
            return unclear

        for role in roles:
            if role in self.found:
                continue

            best = _best(self.free, ROLE_NAMES[role])
            if len(best) == 1:
                self.take(role, best[0], BY_NAME)
            elif best:
                unclear[role] = best

        return unclear

    def roles(self) -> tuple[ColumnRole, ...]:
        """Return what was found in the form of a report."""
        return tuple(
            ColumnRole(self.table.name, role, column, self.why[role])
            for role, column in self.found.items()
        )

    def ask(self, role: str, remedy: str, among: Sequence[str] = ()) -> FormatError:
        """Return the question which column has a role."""
        names = ", ".join(repr(column) for column in self.columns[:20])
        head = self.table.frame.head(1)
        row = [str(cell)[:40] for cell in head.row(0)[:20]] if head.height else []
        choice = f" ({' or '.join(among)})" if among else ""
        shown = f" First row: {', '.join(row)}." if row else ""
        return FormatError(
            f"{self.table.name}: which column is the {role}{choice}? Columns: {names}.{shown} "
            f"{remedy}"
        )


def _best(columns: Sequence[str], names: Names) -> list[str]:
    """Return the column whose name says a role best; several where different words say it."""
    ranked = [
        (names.rank(column), number, column)
        for number, column in enumerate(columns)
        if names.rank(column) is not None
    ]
    if not ranked:
        return []

    tier = min(rank[0] for rank, _, _ in ranked if rank)
    of_tier = [
        (rank, number, column) for rank, number, column in ranked if rank and rank[0] == tier
    ]
    words = {rank[1] for rank, _, _ in of_tier}
    if tier == 1 and len(words) > 1:
        return [column for _, _, column in of_tier]

    order = [*names.first, *names.nouns, *names.last]
    best = min(
        of_tier,
        key=lambda one: (
            order.index(one[0][1]) if one[0][1] in order else len(order),
            one[0][2],
            one[1],
        ),
    )
    return [best[2]]


def interaction_roles(
    table: Table,
    wanted: Mapping[str, str | None],
    items: Callable[[], Known | None] = lambda: None,
) -> Search:
    """Return which columns of a log are users, items, times, ratings, events and weights.

    Args:
        table: The log, or its first rows.
        wanted: Column by role, as the caller gave it.
        items: Returns the ids of another file of items; called where names do not suffice.

    Raises:
        FormatError: If the evidence does not suffice to tell users and items.
    """
    search = Search(table, wanted)
    search.given(tuple(wanted))
    if "user" in search.found and search.found["user"] == search.found.get("item"):
        raise ConfigError(
            f"{table.name}: user and item are both column {search.found['user']!r}. Name two "
            "columns."
        )

    further = tuple(
        role
        for role in ("rating", "event", "weight", "quantity")
        if role in wanted and role not in search.found
    )
    unclear = search.named(("user", "item", "time", *further))
    _take_items(search, unclear, items)
    _take_rest(search, unclear)
    for role in further:
        # What weights are made of counts only where the caller says so.
        if role != "rating" and wanted.get(role) is None and role in search.found:
            search.unread[role] = search.found.pop(role)

    if "event" in further and "event" not in {*search.found, *search.unread}:
        events = [column for column in search.free if _holds_events(table, column)]
        if len(events) == 1:
            search.unread["event"] = events[0]

    return search


def _holds_events(table: Table, column: str) -> bool:
    """Return whether the cells are words for what people do in shops, two of them or more."""
    cells = table.frame[column]
    if cells.dtype != pl.String:
        return False

    words = cells.head(_SAMPLE).drop_nulls().unique().to_list()
    return len(words) > 1 and all(_EVENT_WORD.fullmatch(word.strip()) for word in words)


def _take_items(
    search: Search, unclear: Mapping[str, list[str]], items: Callable[[], Known | None]
) -> None:
    """Take the column whose values another file of items holds."""
    if search.why.get("item") == GIVEN:
        return

    candidates = [c for c in search.free if may_be_id(search.table, c)]
    if "item" in search.found and not candidates:
        return

    known = items()
    if known is None:
        return

    cells = search.table.frame
    named = search.found.get("item")
    shares = {column: known.share(cells[column]) for column in candidates}
    best = max(shares, key=lambda column: shares[column], default=None)
    if best is None or shares[best] < _AGREES:
        return

    if named is None or known.share(cells[named]) < shares[best] / 2:
        why = f"its values are those of {known.name}"
        search.take("item", best, why)


def _take_rest(search: Search, unclear: Mapping[str, list[str]]) -> None:
    """Take users and items that names did not tell, or ask."""
    missing = [role for role in ("user", "item") if role not in search.found]
    if not missing:
        return

    for role in missing:
        if role in unclear:
            raise search.ask(role, _remedy(role), unclear[role])

    first = search.columns[:2]
    alone = len(search.columns) == 2 and len(missing) == 2
    headless = not search.table.header and len(missing) == 2
    if alone or (headless and all(may_be_id(search.table, c) for c in first)):
        for role, column in zip(missing, first, strict=True):
            search.take(role, column, BY_POSITION)
        return

    free = search.free
    candidates = [c for c in free if may_be_id(search.table, c, of_log=len(search.columns) > 2)]
    if len(missing) == 1 and len(candidates) == 1:
        search.take(missing[0], candidates[0], LEFT)
        return

    raise search.ask(missing[0], _remedy(missing[0]), candidates)


def _remedy(role: str) -> str:
    return f"Say it: --{role} COL, in Python {role}='COL'."


TRIPLE = ("head", "relation", "tail")
_ONLY_TOGETHER = ("x", "y")


def triple_roles(table: Table, wanted: Mapping[str, str | None]) -> Search:
    """Return which columns of a table are heads, relations and tails of triples.

    Raises:
        FormatError: If the evidence does not suffice.
    """
    search = Search(table, wanted)
    search.given(TRIPLE)
    if not table.header and len(table.frame.columns) == len(TRIPLE) and not search.found:
        for role, column in zip(TRIPLE, table.frame.columns, strict=True):
            search.take(role, column, BY_POSITION)
        return search

    unclear = search.named(TRIPLE)
    _without_halves(search)
    _undirected(search)
    missing = [role for role in TRIPLE if role not in search.found]
    if len(missing) == len(TRIPLE) and len(table.frame.columns) == len(TRIPLE):
        for role, column in zip(TRIPLE, table.frame.columns, strict=True):
            search.take(role, column, BY_POSITION)
        return search

    if missing == ["relation"] and len(search.free) == 1 and _weighs(table, search.free[0]):
        raise search.ask(
            "relation",
            f"{search.free[0]!r} holds numbers. Add a column that says how the two are related, "
            "the same word in every row where there is one kind.",
        )
    if len(missing) == 1 and len(search.free) == 1:
        search.take(missing[0], search.free[0], LEFT)
    elif missing:
        raise search.ask(missing[0], _setting(missing[0]), unclear.get(missing[0], ()))

    return search


def _weighs(table: Table, column: str) -> bool:
    """Return whether a column holds weights of edges: by its name, or numbers with a point."""
    if any(names.rank(column) is not None for names in (WEIGHT, QUANTITY, RATING)):
        return True

    cells = table.frame[column]
    text = cells.head(_SAMPLE).cast(pl.String, strict=False).drop_nulls().str.strip_chars()
    return _share(text.str.contains(r"^-?\d*\.\d+$")) > _AGREES


def _setting(role: str) -> str:
    return f"Say it: {role}=COL (--kg-set {role}=COL, in Python {role}='COL')."


def _without_halves(search: Search) -> None:
    """Let go of names that say something as a pair alone."""
    taken = {
        role: plain_name(column) in _ONLY_TOGETHER
        for role, column in search.found.items()
        if search.why[role] == BY_NAME
    }
    halves = [role for role, half in taken.items() if half]
    if len(halves) == 1:
        del search.found[halves[0]], search.why[halves[0]]


def _undirected(search: Search) -> None:
    """Take Gephi's column of labels where its types only say whether edges are directed."""
    column = search.found.get("relation")
    if column is None or search.why["relation"] == GIVEN:
        return

    cells = search.table.frame[column].cast(pl.String, strict=False).str.to_lowercase()
    if not bool(cells.is_in(["directed", "undirected"]).all()):
        return

    labels = [name for name in search.free if plain_name(name) in ("label", "relation", "kind")]
    if len(labels) == 1:
        search.take("relation", labels[0], "the other one says only what is directed")


def link_roles(
    table: Table, wanted: Mapping[str, str | None], items: Known | None = None
) -> Search:
    """Return which columns of a table of links are items and entities.

    Raises:
        FormatError: If the evidence does not suffice.
    """
    search = Search(table, wanted)
    search.given(("item", "entity"))
    search.named(("entity", "item"))
    if items is not None and search.why.get("item") != GIVEN:
        _agreeing_item(search, items)

    for role in ("item", "entity"):
        if role in search.found:
            continue

        free = search.free
        if len(table.frame.columns) != 2 and len(free) != 1:
            remedy = f"Say it: {role}=COL (--links-set {role}=COL)."
            raise search.ask(role, remedy, free)

        other = "entity" if role == "item" else "item"
        search.take(role, free[0], LEFT if other in search.found else BY_POSITION)

    return search


def _agreeing_item(search: Search, items: Known) -> None:
    """Take the column that holds ids of the items, where names say none or one that does not."""
    cells = search.table.frame
    shares = {column: items.likeness(cells[column]) for column in search.columns}
    best = max(shares, key=lambda column: shares[column])
    named = search.found.get("item")
    if not shares[best] or (named is not None and shares[named] >= shares[best] / 2):
        return

    if search.found.get("entity") == best:
        if search.why["entity"] == GIVEN:
            return
        del search.found["entity"]

    search.take("item", best, f"its values are those of {items.name}")


def item_key(table: Table, wanted: str | None, items: Known | None = None) -> ColumnRole:
    """Return which column of a table of items holds their ids.

    Raises:
        FormatError: If the evidence does not suffice.
    """
    columns = table.frame.columns
    if not columns:
        raise FormatError(f"{table.name}: no column, so no item ids. Each row needs one.")

    column = find_column(table, wanted, ())
    if column is not None:
        return ColumnRole(table.name, "item", column, GIVEN)

    named = _best(columns, ITEM_KEY) if table.header else []
    if items is not None and (len(columns) > 2 or len(named) > 1):
        shares = {
            name: items.likeness(table.frame[name]) for name in columns if _is_key(table, name)
        }
        best = max(shares, key=lambda name: shares[name], default=None)
        sure = len(named) == 1 and 2 * shares.get(named[0], 0.0) >= shares.get(best or "", 0.0)
        if best is not None and shares[best] >= _AGREES and not sure:
            return ColumnRole(table.name, "item", best, f"its values are those of {items.name}")

    if len(named) == 1:
        return ColumnRole(table.name, "item", named[0], BY_NAME)
    if not named:
        return ColumnRole(table.name, "item", columns[0], BY_POSITION)

    search = Search(table, {})
    raise search.ask("item", "Say it: --item-id COL, in Python item_id='COL'.", named)


def headed(table: Table, known: Known | None) -> Table:
    """Return a table without a header with its first row as one, where another file says that it
    is: a cell of it is no id of that file, and nearly all of those below are.

    Args:
        table: The table.
        known: The ids of the other file; None if there is none.
    """
    if table.header or known is None or table.frame.height < 2:
        return table

    first = [str(cell or "").strip() for cell in table.frame.row(0)]
    wordlike = all(first) and not any(re.search(r"\d", cell) for cell in first)
    if not wordlike or len(set(first)) < len(first):
        return table

    for cell, column in zip(first, table.frame.columns, strict=True):
        below = table.frame[column][1:]
        if not known.ids.is_in([cell]).any() and known.share(below) > _MOSTLY:
            frame = table.frame[1:].rename(dict(zip(table.frame.columns, first, strict=True)))
            return replace(table, frame=frame, line=table.line[1:], header=True)

    return table


def _is_key(table: Table, column: str) -> bool:
    kind = table.frame[column].dtype
    return kind == pl.String or kind.is_integer()


def may_be_id(table: Table, column: str, of_log: bool = False) -> bool:
    """Return whether a column may hold users or items: by its name, its type and its cells."""
    if of_log and table.header and _OTHERS.rank(column) is not None:
        return False

    others = ("time", "rating", "event", "weight", "quantity")
    if table.header and any(ROLE_NAMES[role].rank(column) is not None for role in others):
        return False

    cells = table.frame[column]
    if cells.dtype.is_float() or cells.dtype.is_temporal() or cells.dtype.is_nested():
        return False

    text = cells.head(_SAMPLE).cast(pl.String, strict=False).drop_nulls().str.strip_chars()
    if not len(text):
        return False
    if _share(text.str.contains(r"^-?\d*\.\d+$")) > _MOSTLY:
        return False
    if _share(text.str.contains(r"^\d{4}-\d\d-\d\d|^\d{1,2}[./]\d{1,2}[./]\d{4}")) > _MOSTLY:
        return False

    whole = text.cast(pl.Int64, strict=False).fill_null(0)
    if (
        _share(whole.is_between(900_000_000, 2_200_000_000)) > _MOSTLY
        and len(table.frame.columns) > 2
    ):
        return False

    return not (of_log and len(text) >= _FEW_ROWS and text.n_unique() == len(text))


def _share(mask: pl.Series) -> float:
    return float(mask.fill_null(False).mean() or 0)  # type: ignore[arg-type]
