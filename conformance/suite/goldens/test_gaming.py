"""The mobile game: scores by user, by team and hour, a leader board while it is played, and the statistics without robots.

The answers about the bounded history were computed by SQL, the leader board by hand (`fixtures/golden/gaming`).
"""

from __future__ import annotations

import json
from typing import Any

from conformance.pipeline import Fn, PCollection, coders, triggers, windowing
from conformance.suite.assertions import asserts
from conformance.suite.case import Case
from conformance.suite.checks import same, same_multiset
from conformance.suite.fixtures import golden
from conformance.suite.goldens import functions as functions
from conformance.suite.goldens.histories import MINUTE, fixed, history, panes, script

HOUR = 60 * MINUTE
SCORES = coders.kv(coders.STRING, coders.VARINT)
PLAYS = coders.kv(coders.STRING, SCORES)
#: A user is taken for a robot beyond so many times the mean of an hour's users.
ROBOT = 2


def expected(name: str) -> list[Any]:
    rows: list[Any] = json.loads((golden("gaming") / f"{name}.json").read_text(encoding="utf-8"))
    return rows


def plays(case: Case) -> PCollection:
    """The whole history, at the times of the plays."""
    return case.program.impulse().par_do(Fn("golden_records", golden_name="gaming", file="events.csv"), coders.JSON, name="read")


def field(name: str) -> list[Any]:
    return ["get", ["value"], name]


def scores(records: PCollection, name: str) -> PCollection:
    """The sum of scores by the field `name`, and window."""
    pairs = records.par_do(Fn("map", expr=["kv", field(name), field("score")]), SCORES, name=f"scores_by_{name}")
    return pairs.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT, name=f"sum_by_{name}")


def rows(collection: PCollection, *columns: Any) -> PCollection:
    return collection.par_do(Fn("map", expr=["list", *columns]), coders.JSON, name="rows")


def by_hour(totals: PCollection) -> PCollection:
    return rows(totals, ["key"], ["window_start"], ["val"])


@asserts("MISC09/gaming-user-score")
def test_user_score(case: Case) -> Any:
    rows(scores(plays(case), "user"), ["key"], ["val"]).observe("rows")
    run = yield
    same_multiset(run.values("rows"), expected("user_score"), "the users' scores", rule="M-COMB-01")


@asserts("MISC09/gaming-hourly-team-score")
def test_hourly_team_score(case: Case) -> Any:
    span = ["and", [">", field("t"), 30 * MINUTE], ["<", field("t"), 3 * HOUR + 30 * MINUTE]]
    inside = plays(case).par_do(Fn("filter", expr=span), coders.JSON, name="inside")
    by_hour(scores(inside.window_into(windowing.fixed(HOUR)), "team")).observe("rows")
    run = yield
    same_multiset(run.values("rows"), expected("hourly_team_score"), "the teams' scores by the hour", rule="M-WIN-02")


def robots(hourly: PCollection) -> PCollection:
    """[user, score] of those who score more than `ROBOT` times the mean of their hour; the mean is a side input."""
    totals = scores(hourly, "user")
    mean = totals.par_do(Fn("values"), coders.VARINT, name="totals").combine_globally(
        Fn("mean"), coders.kv(coders.DOUBLE, coders.VARINT), coders.DOUBLE, name="mean"
    )
    pair = coders.kv(SCORES, coders.DOUBLE)
    beside = totals.par_do(Fn("side_singleton", side="mean"), pair, name="beside", side_inputs={"mean": mean.as_iterable()})
    beyond = [">", ["get", ["key"], 1], ["*", ["val"], ROBOT]]
    return beside.par_do(Fn("filter", expr=beyond), pair, name="beyond").par_do(Fn("keys"), SCORES, name="robots")


@asserts("MISC09/gaming-robots")
def test_robots(case: Case) -> Any:
    by_hour(robots(plays(case).window_into(windowing.fixed(HOUR)))).observe("rows")
    run = yield
    same_multiset(run.values("rows"), expected("robots"), "the robots of each hour", rule="M-SIDE-06")


@asserts("MISC09/gaming-honest-team-score")
def test_honest_team_score(case: Case) -> Any:
    hourly = plays(case).window_into(windowing.fixed(HOUR))
    names = robots(hourly).par_do(Fn("keys"), coders.STRING, name="names")
    marked = hourly.par_do(
        Fn("side_values", side="robots"), coders.JSON, name="mark", side_inputs={"robots": names.as_iterable()}
    )
    play, known = ["get", ["value"], 0], ["get", ["value"], 1]
    honest = marked.par_do(Fn("filter", expr=["not", ["in", ["get", play, "user"], known]]), coders.JSON, name="honest")
    by_hour(scores(honest.par_do(Fn("map", expr=play), coders.JSON, name="plays"), "team")).observe("rows")
    run = yield
    same_multiset(run.values("rows"), expected("honest_team_score"), "the teams' scores without robots", rule="M-SIDE-06")


@asserts("MISC09/gaming-session-lengths")
def test_session_lengths(case: Case) -> Any:
    pairs = plays(case).par_do(Fn("map", expr=["kv", field("user"), 1]), SCORES, name="users")
    sessions = pairs.window_into(windowing.sessions(5 * MINUTE)).group_by_key("sessions")
    length = ["kv", "", ["-", ["window_end"], ["window_start"]]]
    lengths = sessions.par_do(Fn("map", expr=length), SCORES, name="lengths").window_into(windowing.fixed(HOUR), name="hourly")
    rows(lengths.group_by_key("by_hour"), ["window_start"], ["len", ["val"]], ["sum", ["val"]]).observe("rows")
    run = yield
    same_multiset(run.values("rows"), expected("session_lengths"), "sessions by the hour: number, length", rule="M-WIN-18")


LEADER_BOARD = history("gaming", "leader_board.json")


def board(case: Case) -> PCollection:
    """The game while it is played: KV<team, KV<user, score>>."""
    played: PCollection = case.program.test_stream(
        script(LEADER_BOARD["events"], lambda team, user, score: (team, (user, score))), PLAYS
    )
    return played


def after(minutes: int) -> Any:
    return triggers.repeatedly(triggers.after_processing_time(minutes * MINUTE))


@asserts("MISC10/gaming-leader-board-teams", modes=("streaming",))
def test_leader_board_teams(case: Case) -> Any:
    hourly = board(case).window_into(
        fixed(60),
        trigger=triggers.after_watermark(early=after(5), late=after(10)),
        accumulation="accumulating",
        allowed_lateness=2 * HOUR,
    )
    pairs = hourly.par_do(Fn("map", expr=["kv", ["key"], ["get", ["val"], 1]]), SCORES, name="team_scores")
    pairs.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT, name="teams").observe("teams")
    run = yield
    wanted = sorted(LEADER_BOARD["teams"], key=lambda pane: pane[:2])
    same(panes(run, "teams"), wanted, "the board of teams", rule="M-PANE-11")


@asserts("MISC10/gaming-leader-board-users", modes=("streaming",))
def test_leader_board_users(case: Case) -> Any:
    users = board(case).par_do(Fn("values"), SCORES, name="user_scores")
    windowed = users.window_into(
        windowing.global_windows(), trigger=after(10), accumulation="accumulating", on_time="if_nonempty"
    )
    windowed.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT, name="users").observe("users")
    run = yield
    same_multiset(run.values("users"), [tuple(pane) for pane in LEADER_BOARD["users"]], "the board of users", rule="M-TRIG-18")
