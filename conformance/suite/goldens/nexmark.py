"""The Nexmark queries 0 to 8 and 11 as programs: each takes the events of the auction site and answers its result.

What each query means is said once, in SQL, in `fixtures/golden/nexmark/make.py`. Rows are JSON lists in the order of its columns.
"""

from __future__ import annotations

from collections.abc import Callable

from conformance.pipeline import Fn, PCollection, coders, state, windowing

__all__ = ["QUERIES"]

COUNTS = coders.kv(coders.VARINT, coders.VARINT)
RECORDS = coders.kv(coders.VARINT, coders.JSON)
#: Seconds as milliseconds, for the sizes of windows.
SECOND = 1000


def field(name: str) -> list[object]:
    """The expression for a field of the record at hand."""
    return ["get", ["value"], name]


def rows(collection: PCollection, *columns: object, name: str = "rows") -> PCollection:
    """Each element as a list of expressions."""
    return collection.par_do(Fn("map", expr=["list", *columns]), coders.JSON, name=name)


def only(events: PCollection, kind: str) -> PCollection:
    """The events of one kind."""
    return events.par_do(Fn("filter", expr=["==", field("kind"), kind]), coders.JSON, name=f"only_{kind}")


def keyed(records: PCollection, name: str) -> PCollection:
    """KV of a record's field and the record."""
    return records.par_do(Fn("key_by", expr=field(name)), RECORDS, name=f"by_{name}")


def count_by(records: PCollection, name: str) -> PCollection:
    """KV<field, count>."""
    ones = records.par_do(Fn("map", expr=["kv", field(name), 1]), COUNTS, name=f"one_by_{name}")
    return ones.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT, name="count")


def sales(events: PCollection) -> PCollection:
    """The sales, at the time of closing: the join keeps the earliest time, or closing would be a step back (M-TIME-09)."""
    events = events.window_into(windowing.global_windows(), timestamp_combiner="earliest", name="keep_earliest")
    auctions, bids = keyed(only(events, "auction"), "id"), keyed(only(events, "bid"), "auction")
    joined = auctions.co_group_by_key({"bids": bids}, tag="auctions", name="offers")
    return joined.par_do(Fn("close_auction"), coders.JSON, name="close")


def passthrough(events: PCollection) -> PCollection:
    return rows(events, field("kind"), field("id"), field("t"))


def currency(events: PCollection) -> PCollection:
    price = ["//", ["*", field("price"), 89], 100]
    return rows(only(events, "bid"), field("auction"), field("bidder"), price, field("t"))


def selection(events: PCollection) -> PCollection:
    wanted = ["==", ["%", field("auction"), 7], 0]
    chosen = only(events, "bid").par_do(Fn("filter", expr=wanted), coders.JSON, name="chosen")
    return rows(chosen, field("auction"), field("price"))


def local_items(events: PCollection) -> PCollection:
    """A join by state and timers: whoever comes first waits for the other."""
    near = ["in", field("state"), ["list", "OR", "ID", "CA"]]
    persons = keyed(only(events, "person").par_do(Fn("filter", expr=near), coders.JSON, name="near"), "id")
    wanted = ["==", field("category"), 10]
    auctions = keyed(only(events, "auction").par_do(Fn("filter", expr=wanted), coders.JSON, name="category_10"), "seller")
    both = events.program.flatten([persons, auctions])
    return both.par_do(
        Fn("join_seller", patience=3600 * SECOND),
        coders.JSON,
        name="join",
        state={"person": state.value(coders.JSON), "auctions": state.bag(coders.JSON)},
        timers={"forget": "event"},
    )


def mean_by_category(events: PCollection) -> PCollection:
    windowed = sales(events).window_into(windowing.sliding(20 * SECOND, 10 * SECOND))
    prices = windowed.par_do(Fn("map", expr=["kv", field("category"), field("price")]), COUNTS, name="prices")
    grouped = prices.group_by_key("by_category")
    mean = ["//", ["sum", ["val"]], ["len", ["val"]]]
    return rows(grouped, ["window_start"], ["key"], mean)


def hot_items(events: PCollection) -> PCollection:
    bids = only(events, "bid").window_into(windowing.sliding(10 * SECOND, 5 * SECOND))
    counts = count_by(bids, "auction")
    together = counts.par_do(Fn("with_key", key=0), coders.kv(coders.VARINT, COUNTS), name="together")
    return together.group_by_key("all").par_do(Fn("hottest"), coders.JSON, name="hottest")


def mean_by_seller(events: PCollection) -> PCollection:
    by_seller = keyed(sales(events), "seller").group_by_key("by_seller")
    return by_seller.par_do(Fn("last_sales", count=3), coders.JSON, name="mean")


def highest_bid(events: PCollection) -> PCollection:
    """The maximum of each window is a side input of the window's bids."""
    bids = only(events, "bid").window_into(windowing.fixed(10 * SECOND))
    prices = bids.par_do(Fn("map", expr=field("price")), coders.VARINT, name="prices")
    highest = prices.combine_globally(Fn("max"), coders.iterable(coders.VARINT), coders.VARINT, name="highest")
    beside = bids.par_do(
        Fn("side_singleton", side="highest"), coders.JSON, name="beside", side_inputs={"highest": highest.as_iterable()}
    )
    bid, most = ["get", ["value"], 0], ["get", ["value"], 1]
    winners = beside.par_do(Fn("filter", expr=["==", ["get", bid, "price"], most]), coders.JSON, name="winners")
    return rows(winners, *(["get", bid, name] for name in ("auction", "bidder", "price", "t")))


def new_users(events: PCollection) -> PCollection:
    windowed = events.window_into(windowing.fixed(10 * SECOND))
    persons, auctions = keyed(only(windowed, "person"), "id"), keyed(only(windowed, "auction"), "seller")
    joined = persons.co_group_by_key({"auctions": auctions}, tag="persons", name="join")
    return joined.par_do(Fn("new_sellers"), coders.JSON, name="new_sellers")


def user_sessions(events: PCollection) -> PCollection:
    bids = only(events, "bid").window_into(windowing.sessions(2 * SECOND))
    return rows(count_by(bids, "bidder"), ["key"], ["window_start"], ["window_end"], ["val"])


QUERIES: dict[str, Callable[[PCollection], PCollection]] = {
    "q0": passthrough,
    "q1": currency,
    "q2": selection,
    "q3": local_items,
    "q4": mean_by_category,
    "q5": hot_items,
    "q6": mean_by_seller,
    "q7": highest_bid,
    "q8": new_users,
    "q11": user_sessions,
}
