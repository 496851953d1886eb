"""Generated event scripts through TestStream, a property a leaf: its trigger, mode or behaviour is fixed, the rest is drawn.

Each example is judged by the oracle, which knows every outcome that the model allows for the script.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from conformance.oracle import program as p
from conformance.suite.assertions import asserts
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.generated.scripts import for_all_scripts

COUNT = st.builds(p.AfterCount, st.integers(1, 3))
DELAY = st.builds(p.AfterProcessingTime, st.sampled_from([1000, 6000]))
ONCE = COUNT | DELAY
END = p.AfterEndOfWindow

TRIGGERS: dict[str, st.SearchStrategy[Any]] = {
    "TRIG01": st.just(p.DefaultTrigger()),
    "TRIG03": st.just(p.Never()),
    "TRIG04": COUNT | COUNT.map(p.Repeat),
    "TRIG05": st.just(END()),
    "TRIG06": st.builds(END, ONCE),
    "TRIG07": st.builds(END, st.none(), COUNT),
    "TRIG08": DELAY | DELAY.map(p.Repeat),
    "TRIG11": st.builds(lambda a, b: p.AfterAll((a, b)), ONCE, ONCE),
    "TRIG12": st.builds(lambda a, b: p.AfterAny((a, b)), ONCE, ONCE),
    "TRIG13": st.builds(lambda a, b: p.Repeat(p.AfterEach((a, b))), ONCE, ONCE),
    "TRIG14": ONCE.map(p.Repeat),
    "TRIG15": st.builds(lambda main, until: p.OrFinally(p.Repeat(main), until), ONCE, COUNT),
    "TRIG16": COUNT,
}
FIXED: dict[str, dict[str, Any]] = {
    "TRIG18": {"accumulation": "accumulating"},
    "TRIG19": {"accumulation": "discarding"},
    "TRIG21": {"allowed_lateness": 20},
    "TRIG22": {"allowed_lateness": 0},
    "TRIG24": {"closing": "always"},
    "TRIG25": {"closing": "if_nonempty"},
    "TRIG26": {"on_time": "always"},
    "TRIG27": {"on_time": "if_nonempty"},
    "TRIG28": {},
    "TRIG29": {"trigger": COUNT.map(p.Repeat)},
    "TRIG30": {"trigger": st.builds(END, COUNT, COUNT)},
}
#: Leaves about what happens before the end, or behind the watermark: they say nothing where a watermark lags to the end.
OBEYED = frozenset({"TRIG06", "TRIG07", "TRIG16", "TRIG21", "TRIG22", "TRIG28"})


def _ask(leaf: str) -> Any:
    fixed = {"trigger": TRIGGERS[leaf]} if leaf in TRIGGERS else FIXED[leaf]

    @asserts(f"{leaf}/generated-scripts", modes=("streaming",))
    def test(runner: RunnerUnderTest) -> None:
        for_all_scripts(runner, f"{leaf}/generated-scripts", obeyed=leaf in OBEYED, **fixed)

    test.__name__ = test.__qualname__ = f"test_scripts_{leaf.lower()}"
    return test


globals().update({f"test_scripts_{leaf.lower()}": _ask(leaf) for leaf in (*TRIGGERS, *FIXED)})
