"""Functions of the golden pipelines that the library has not: reading golden records, and the joins of the auction site."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from conformance.harness.api import DoFn
from conformance.harness.context import Context
from conformance.harness.functions import dofn
from conformance.suite.fixtures import golden

__all__ = ["golden_records", "last_sales"]


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: int(text) if text.isdigit() else text for name, text in row.items() if name is not None}


_READERS: dict[str, Callable[[Path], Iterator[dict[str, Any]]]] = {".jsonl": _jsonl, ".csv": _csv}


@dofn("golden_records")
def golden_records(ctx: Context, golden_name: str, file: str) -> None:
    """Emits the records of a golden's `file` (JSON lines or CSV) as dicts, each at its own time "t" (ms)."""
    path = golden(golden_name) / file
    for record in _READERS[path.suffix](path):
        ctx.output(record, timestamp=record["t"])


@dofn("timed_lines")
def timed_lines(ctx: Context, golden_name: str, file: str) -> None:
    """Emits the lines of a golden's `file`, each at the time (s) in front of its tabulator."""
    for line in (golden(golden_name) / file).read_text(encoding="utf-8").splitlines():
        seconds, _, text = line.partition("\t")
        ctx.output(text, timestamp=int(seconds) * 1000)


@dofn("close_auction")
def close_auction(ctx: Context) -> None:
    """KV<auction, {"auctions", "bids"}> to the sale {"id", "seller", "category", "price", "t"}, at the time of closing. The price is the
    highest of the bids that were made in time and reach the reserve; an auction without one emits nothing."""
    _, sides = ctx.value
    for auction in sides["auctions"]:
        in_time = (bid["price"] for bid in sides["bids"] if auction["t"] <= bid["t"] < auction["expires"])
        prices = [price for price in in_time if price >= auction["reserve"]]
        if prices:
            sale = {name: auction[name] for name in ("id", "seller", "category")}
            ctx.output({**sale, "price": max(prices), "t": auction["expires"]}, timestamp=auction["expires"])


@dofn("hottest", observes_windows=True)
def hottest(ctx: Context) -> Iterator[Any]:
    """KV<_, Iterable<KV<auction, count>>> to [window start, auction, count] of those with the most."""
    counts = list(ctx.value[1])
    most = max(count for _, count in counts)
    for auction, count in counts:
        if count == most:
            yield [ctx.window.start, auction, count]  # type: ignore[union-attr]


@dofn("last_sales")
def last_sales(ctx: Context, count: int) -> Iterator[Any]:
    """KV<seller, Iterable<sale>> to [seller, mean price of the last `count` sales, cut to an integer]."""
    seller, sales = ctx.value
    last = sorted(sales, key=lambda sale: (sale["t"], sale["id"]))[-count:]
    yield [seller, sum(sale["price"] for sale in last) // len(last)]


@dofn("new_sellers")
def new_sellers(ctx: Context) -> Iterator[Any]:
    """KV<id, {"persons", "auctions"}> to [id, name, number of auctions] for each person with any."""
    person_id, sides = ctx.value
    for person in sides["persons"]:
        if sides["auctions"]:
            yield [person_id, person["name"], len(sides["auctions"])]


@dofn("join_seller", observes_windows=True)
class JoinSeller(DoFn):
    """KV<person id, person or auction> to [name, city, state, auction]: the person is kept, and auctions that come before. Needs states
    "person" (value), "auctions" (bag) and the event-time timer family "forget", which ends the wait for a person after `patience` ms."""

    observes_windows = True

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def process(self, ctx: Context) -> Iterable[Any]:
        _, event = ctx.value
        if event["kind"] == "person":
            ctx.state("person").write(event)
            auctions = [auction["id"] for auction in ctx.state("auctions").read()]
            ctx.state("auctions").clear()
            ctx.timers("forget").clear()
            return [_local(event, auction) for auction in auctions]
        person = ctx.state("person").read()
        if person is None:
            ctx.state("auctions").add(event)
            ctx.timers("forget").set(ctx.timestamp + self.patience)
            return []
        return [_local(person, event["id"])]

    def on_timer(self, ctx: Context) -> None:
        ctx.state("auctions").clear()


def _local(person: dict[str, Any], auction: int) -> list[Any]:
    return [person["name"], person["city"], person["state"], auction]
