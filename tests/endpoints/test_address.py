"""The grammar of runner addresses: what is read, what is written back, and what a typo is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.endpoints.address import KINDS, Address, parse
from conformance.endpoints.errors import AddressError

READ = {
    "reference": Address("reference"),
    "reference:variant=one-element-bundles,seed=7": Address("reference", "", (("variant", "one-element-bundles"), ("seed", "7"))),
    "reference:seed=7,variant=one-element-bundles": Address("reference", "", (("variant", "one-element-bundles"), ("seed", "7"))),
    "reference:variant=unfused,retry,seed=7": Address("reference", "", (("variant", "unfused+retry"), ("seed", "7"))),
    "reference:variant=unfused+retry": Address("reference", "", (("variant", "unfused+retry"),)),
    "reference:mutant=TRG-10": Address("reference", "", (("mutant", "TRG-10"),)),
    "grpc://localhost:8099": Address("grpc", "localhost:8099"),
    "grpc://localhost:8099/": Address("grpc", "localhost:8099"),
    "localhost:8099": Address("grpc", "localhost:8099"),
    "10.0.0.7:1": Address("grpc", "10.0.0.7:1"),
    "[::1]:8099": Address("grpc", "[::1]:8099"),
    "grpc://flink:8099": Address("grpc", "flink:8099"),
    "prism": Address("prism"),
    "prism:bin=/opt/prism": Address("prism", "", (("bin", "/opt/prism"),)),
    "prism:bin=/odd,path": None,
    "prism:bin=/odd%2Cpath=%25": Address("prism", "", (("bin", "/odd,path=%"),)),
    "python": Address("python"),
    "python:python=/usr/bin/python3.12": Address("python", "", (("python", "/usr/bin/python3.12"),)),
    "flink:jar=job-server.jar": Address("flink", "", (("jar", "job-server.jar"),)),
    "spark": Address("spark"),
    "flink:mode=streaming": Address("flink", "", (("mode", "streaming"),)),
    "flink:with=checkpoints,mode=streaming": Address("flink", "", (("mode", "streaming"), ("with", "checkpoints"))),
    "docker:apache/beam_flink1.19_job_server:2.77.0": Address("docker", "apache/beam_flink1.19_job_server:2.77.0"),
    "docker:localhost:5000/runner@sha256:0f": Address("docker", "localhost:5000/runner@sha256:0f"),
}


@pytest.mark.parametrize("text", READ)
def test_reads(text: str) -> None:
    if READ[text] is None:
        with pytest.raises(AddressError):
            parse(text)
    else:
        assert parse(text) == READ[text]


#: A typo, and what its message must offer.
TYPOS = {
    "": "empty",
    "refrence": "did you mean 'reference'?",
    "Prism": "did you mean 'prism'?",
    "pyhton:python=x": "did you mean 'python:python=x'?",
    "reference:variants=a": "did you mean 'variant'?",
    "reference:mutate=TRG-10": "did you mean 'mutant'?",
    "reference:seed=seven": "must be a whole number",
    "reference:variant=": "has no value",
    "reference:variant": "has no value",
    "reference:seed=1,seed=2": "given twice",
    "reference:": "ends in a colon",
    "prism:8073": "grpc://prism:8073",
    "prism:/opt/prism": "'prism' has no option '/opt/prism'",
    "http://localhost:8099": "did you mean 'grpc://localhost:8099'?",
    "https://host:1/ui": "did you mean 'grpc://host:1'?",
    "ftp://somewhere": "grpc://HOST:PORT",
    "localhost": "add the port",
    "localhost:port": "'port' is no port",
    "grpc://localhost": "does not name a host and a port",
    "grpc:localhost": "does not name a host and a port",
    "localhost:99999": "1 to 65535",
    "grpc://h:0": "1 to 65535",
    "docker:": "needs an image",
    "docker": "needs an image",
    "docker:Not An Image": "does not name an image",
    "!!": "not the address",
}


@pytest.mark.parametrize("text", TYPOS)
def test_a_typo_is_told_what_was_meant(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(text)
    message = str(caught.value)
    assert TYPOS[text] in message
    assert "Write " in message, "the syntax is shown"
    assert caught.value.exit_code == 4


_values = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1, max_size=20).filter(
    lambda text: text == text.strip()
)
_names = st.from_regex(r"[A-Za-z0-9_.-]{1,10}(\+[A-Za-z0-9_.-]{1,10})?", fullmatch=True)
_hosts = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True)


def _options(**strategies: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    return st.fixed_dictionaries({}, optional=strategies).map(
        lambda found: tuple((name, found[name]) for name in strategies if name in found)
    )


_seeds = st.integers(-(10**9), 10**9).map(str)
_addresses = st.one_of(
    st.builds(Address, st.just("reference"), st.just(""), _options(variant=_names, mutant=_names, seed=_seeds)),
    st.builds(Address, st.just("prism"), st.just(""), _options(bin=_values)),
    st.builds(Address, st.just("python"), st.just(""), _options(python=_values)),
    st.builds(Address, st.sampled_from(["flink", "spark"]), st.just(""), _options(jar=_values)),
    st.builds(Address, st.just("grpc"), st.builds("{}:{}".format, _hosts, st.integers(1, 65535))),
    st.builds(Address, st.just("docker"), st.from_regex(r"[a-z0-9][a-z0-9/._-]{0,20}(:[a-z0-9.]{1,8})?", fullmatch=True)),
)  # fmt: skip


@given(_addresses)
def test_what_is_written_is_read_back(address: Address) -> None:
    assert parse(str(address)) == address


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_an_address_error(text: str) -> None:
    try:
        address = parse(text)
    except AddressError:
        return
    assert address.kind in KINDS
    assert parse(str(address)) == address
