"""What the harness can do, as URNs for Environment.capabilities. A scenario chooses from it; what it leaves out is not used."""

from __future__ import annotations

from conformance.wire import urns

__all__ = ["CODERS", "COMBINES", "DEFAULT", "EVERYTHING", "PROTOCOLS", "TRANSFORMS"]

_P, _T = urns.Protocol, urns.Transform

#: All standard coders, window coders included: a runner may treat what is not declared as opaque (P-PIPE-13).
CODERS = frozenset(value for name, value in vars(urns.Coder).items() if not name.startswith("_") and name != "SCHEMA")
#: Protocols that are really implemented, and change nothing for a runner that does not use them.
PROTOCOLS = frozenset(
    {
        _P.PROGRESS_REPORTING,
        _P.MULTI_CORE_BUNDLE_PROCESSING,
        _P.HARNESS_MONITORING_INFOS,
        _P.STATE_CACHING,
        _P.WORKER_STATUS,
        _P.SDK_CONSUMING_RECEIVED_DATA,
        _P.ORDERED_LIST_STATE,
        _P.MULTIMAP_STATE,
        _P.DATA_SAMPLING,
    }
)
#: Transforms that a runner may ask of this SDK only if it says so.
TRANSFORMS = frozenset({_T.TRUNCATE_SIZED_RESTRICTION, _T.TO_STRING})
COMBINES = frozenset(
    {
        _T.COMBINE_PER_KEY_PRECOMBINE,
        _T.COMBINE_PER_KEY_MERGE_ACCUMULATORS,
        _T.COMBINE_PER_KEY_EXTRACT_OUTPUTS,
        _T.COMBINE_PER_KEY_CONVERT_TO_ACCUMULATORS,
        _T.COMBINE_GROUPED_VALUES,
    }
)
#: What a session declares unless told otherwise.
DEFAULT = CODERS | PROTOCOLS | TRANSFORMS | COMBINES
#: Also what changes how data travels.
EVERYTHING = DEFAULT | {_P.CONTROL_REQUEST_ELEMENTS_EMBEDDING, _P.NAMED_DATA_STREAMS, _P.ELEMENT_METADATA}
