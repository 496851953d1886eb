"""The schemas of our pipelines have ids that every runner takes: UUIDs (P-COD-12), or none."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message

from conformance.harness.offers import OFFERS
from conformance.pipeline.coders import CoderSpec
from conformance.suite.u_coders import vectors
from conformance.wire import urns
from conformance.wire.api import schema_pb2


def _schemas(message: Any) -> Iterator[schema_pb2.Schema]:
    if isinstance(message, schema_pb2.Schema):
        yield message
    for _, value in message.ListFields():
        for each in [value] if isinstance(value, Message) else value if not isinstance(value, str | bytes | int | float) else ():
            if isinstance(each, Message):
                yield from _schemas(each)


def _of_coder(coder: CoderSpec) -> Iterator[schema_pb2.Schema]:
    if coder.urn == urns.Coder.ROW:
        yield from _schemas(schema_pb2.Schema.FromString(coder.payload))
    for component in coder.components:
        yield from _of_coder(component)


FOUND = [schema for coded in [*vectors.ROWS.values(), *vectors.published("row")] for schema in _of_coder(coded.coder)]
FOUND += [schema for offer in OFFERS.values() for schema in _schemas(offer.config)]


def test_nested_ones_are_looked_at() -> None:
    assert len(FOUND) > len(vectors.ROWS) + len(OFFERS)


@pytest.mark.parametrize("schema_id", sorted({schema.id for schema in FOUND if schema.id}))
def test_ids_are_uuids(schema_id: str) -> None:
    assert str(uuid.UUID(schema_id)) == schema_id
