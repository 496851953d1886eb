"""The grammar of `--runner`: text to `Address` and back. Nothing here opens, starts or looks for anything.

    reference   reference:variant=NAME,seed=7   reference:mutant=ID      grpc://HOST:PORT (or HOST:PORT)
    prism[:bin=PATH]   python[:python=PATH]   flink[:jar=PATH,mode=MODE,with=NAME]   spark[:jar=PATH,mode=MODE]   docker:IMAGE

An address is `KIND`, `KIND:name=value,name=value`, or a kind with a target. In values `%2C` stands for a comma and `%25` for
a percent sign; everything else stands for itself, so that paths can be pasted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

from attrs import frozen

from conformance.endpoints.errors import AddressError
from conformance.endpoints.faults import FAULTS

__all__ = ["KINDS", "SYNTAX", "Address", "Kind", "parse"]


@frozen
class Kind:
    """One kind of address: its options in canonical order with a check each, and how its target is written, if it has one."""

    name: str
    syntax: str
    options: dict[str, Callable[[str], str | None]]
    target: str = ""


def _any(value: str) -> str | None:
    return None


def _integer(value: str) -> str | None:
    return None if re.fullmatch(r"-?[0-9]{1,18}", value) else "must be a whole number"


def _mode(value: str) -> str | None:
    return None if value in ("batch", "streaming") else "must be batch or streaming"


def _names(value: str) -> str | None:
    return (
        None
        if re.fullmatch(r"[A-Za-z0-9_.-]+(\+[A-Za-z0-9_.-]+)*", value)
        else "must be names of letters, digits and '-', joined by '+'"
    )


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "reference",
            "reference[:variant=NAME[+NAME],seed=N], reference:variant=random,seed=N or reference:mutant=ID",
            {"variant": _names, "mutant": _names, "seed": _integer},
        ),
        Kind("grpc", "grpc://HOST:PORT, or HOST:PORT", {}, target="HOST:PORT"),
        Kind("prism", "prism[:bin=PATH]", {"bin": _any}),
        Kind("python", "python[:python=PATH]", {"python": _any}),
        Kind("flink", "flink[:jar=PATH,mode=batch|streaming,with=checkpoints]", {"jar": _any, "mode": _mode, "with": _names}),
        Kind("spark", "spark[:jar=PATH,mode=batch|streaming]", {"jar": _any, "mode": _mode}),
        Kind("docker", "docker:IMAGE", {}, target="IMAGE"),
        Kind("proxy", "proxy:FAULT@ADDRESS (a fault of the wire before any of these)", {}, target="FAULT@ADDRESS"),
    )
}

SYNTAX: str = "\n".join(f"  {kind.syntax}" for kind in KINDS.values())

_HOST_PORT = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?):(?P<port>[0-9]{1,5})"
)
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]*")
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)")


@frozen
class Address:
    """How one runner is reached: a kind of KINDS, what it points at (`HOST:PORT`, an image, or empty) and its options."""

    kind: str
    target: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str, default: str | None = None) -> str | None:
        """The value of an option, or `default`."""
        return dict(self.options).get(name, default)

    def __str__(self) -> str:
        if self.kind == "grpc":
            return f"grpc://{self.target}"
        if self.target:
            return f"{self.kind}:{self.target}"
        if not self.options:
            return self.kind
        return f"{self.kind}:{','.join(f'{name}={_escape(value)}' for name, value in self.options)}"


def parse(text: str) -> Address:
    """The address that `text` writes. Raises AddressError with the nearest right spelling and the syntax."""
    text = text.strip()
    if not text:
        raise _error("The runner's address is empty.")
    if match := _SCHEME.fullmatch(text):
        return _with_scheme(text, match["scheme"], match["rest"])
    name, colon, rest = text.partition(":")
    if name in KINDS:
        return _of_kind(KINDS[name], rest, bool(colon))
    if _HOST_PORT.fullmatch(text):
        return _grpc(text, text)
    near = difflib.get_close_matches(name.lower(), KINDS, n=1, cutoff=0.6)
    if near:
        raise _error(f"There is no runner {name!r}: did you mean {near[0] + colon + rest!r}?")
    if not colon and re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise _error(f"{text!r} is neither a runner known here nor HOST:PORT: if it is a host, add the port of its job service.")
    if colon and re.fullmatch(r"[A-Za-z0-9_.-]+", name) and not _HOST_PORT.fullmatch(text):
        raise _error(f"{text!r} is neither a runner known here nor HOST:PORT: {rest!r} is no port.")
    raise _error(f"{text!r} is not the address of a runner.")


def _with_scheme(text: str, scheme: str, rest: str) -> Address:
    if scheme == "grpc":
        return _grpc(text, rest.removesuffix("/"))
    host_port = rest.split("/")[0]
    if _HOST_PORT.fullmatch(host_port):
        raise _error(f"{text!r} has the scheme {scheme!r}, and job services speak gRPC: did you mean 'grpc://{host_port}'?")
    raise _error(f"{text!r} has the unknown scheme {scheme!r}: did you mean 'grpc://HOST:PORT'?")


def _grpc(text: str, target: str) -> Address:
    match = _HOST_PORT.fullmatch(target)
    if match is None:
        raise _error(f"{text!r} does not name a host and a port.", KINDS["grpc"])
    if not 1 <= int(match["port"]) <= 65535:
        raise _error(f"{text!r} has the port {match['port']}: ports go from 1 to 65535.", KINDS["grpc"])
    return Address("grpc", f"{match['host']}:{int(match['port'])}")


def _of_kind(kind: Kind, rest: str, has_colon: bool) -> Address:
    if kind.name == "grpc":
        return _grpc(f"grpc:{rest}", rest)
    if kind.name == "proxy":
        return _proxied(kind, rest)
    if kind.target:
        if not _IMAGE.fullmatch(rest):
            raise _error(f"{kind.name}:{rest} does not name an image." if rest else f"{kind.name!r} needs an image.", kind)
        return Address(kind.name, rest)
    if not rest:
        if has_colon:
            raise _error(f"'{kind.name}:' ends in a colon: name an option behind it or leave it out.", kind)
        return Address(kind.name)
    found: dict[str, str] = {}
    for part in _options(kind, rest):
        name, equals, value = part.partition("=")
        if name not in kind.options:
            raise _error(_unknown_option(kind, name, part), kind)
        value = _unescape(value)
        if not equals or not value:
            raise _error(f"Option {name!r} of {kind.name!r} has no value.", kind)
        if name in found:
            raise _error(f"Option {name!r} of {kind.name!r} is given twice.", kind)
        if fault := kind.options[name](value):
            raise _error(f"Option {name!r} of {kind.name!r} {fault}, and is {value!r}.", kind)
        found[name] = value
    return Address(kind.name, "", tuple((name, found[name]) for name in kind.options if name in found))


def _options(kind: Kind, rest: str) -> list[str]:
    """The parts between commas; names without a value behind an option that takes several belong to it."""
    parts: list[str] = []
    for part in rest.split(","):
        before = parts[-1].partition("=") if parts else ("", "", "")
        if (
            kind.options.get(before[0]) is _names
            and before[2]
            and re.fullmatch(r"[A-Za-z0-9_.-]+", part)
            and part not in kind.options
        ):
            parts[-1] += f"+{part}"
        else:
            parts.append(part)
    return parts


def _proxied(kind: Kind, rest: str) -> Address:
    fault, at, inner = rest.partition("@")
    if not at:
        raise _error(f"proxy:{rest} does not say which runner the proxy stands before.", kind)
    if fault and fault not in FAULTS:
        near = difflib.get_close_matches(fault, FAULTS, n=1, cutoff=0.5)
        raise _error(f"The proxy knows no fault {fault!r}{f': did you mean {near[0]!r}?' if near else '.'}", kind)
    return Address(kind.name, f"{fault}@{parse(inner)}")


def _unknown_option(kind: Kind, name: str, part: str) -> str:
    if name.isdigit():
        return f"{kind.name!r} takes no port; for a job service on a host of that name write 'grpc://{kind.name}:{name}'."
    near = difflib.get_close_matches(name, kind.options, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]!r}?" if near else f"; its options are {', '.join(kind.options)}."
    return f"{kind.name!r} has no option {name or part!r}{hint}"


def _error(message: str, kind: Kind | None = None) -> AddressError:
    syntax = f"Write {kind.syntax}" if kind else f"Write one of:\n{SYNTAX}"
    return AddressError(f"{message} {syntax}")


def _escape(value: str) -> str:
    return value.replace("%", "%25").replace(",", "%2C")


def _unescape(value: str) -> str:
    return value.replace("%2C", ",").replace("%25", "%")
