"""Managed processes: the log's bounded tail, and the end of whole process groups in every case."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap

import pytest

from conformance.endpoints.process import LOG_LINES, ManagedProcess

READY = re.compile(r"ready (\d+)")


def _python(code: str) -> ManagedProcess:
    return ManagedProcess([sys.executable, "-u", "-c", textwrap.dedent(code)])


def _ended(pid: int) -> bool:
    """Waits for a process that is no child of ours to be gone (or be a zombie that nobody reaps)."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    import select

    try:
        return bool(select.select([descriptor], [], [], 10.0)[0])
    finally:
        os.close(descriptor)


def test_lines_are_waited_for_and_the_exit_is_seen() -> None:
    process = _python("import sys; print('ready 7'); sys.exit(3)")
    match = process.wait_for_line(READY, 10)
    assert match is not None
    assert match[1] == "7"
    assert process.wait_for_exit(10)
    assert process.returncode == 3
    assert not process.alive()
    process.close()


def test_an_ended_log_is_not_waited_for() -> None:
    process = _python("print('nothing of note')")
    assert process.wait_for_line(READY, 60) is None
    assert process.log_tail() == "nothing of note"
    process.close()


def test_the_tail_is_bounded_and_keeps_both_streams() -> None:
    process = _python("import sys\nfor i in range(2000): print('x' * 5000)\nprint('last', file=sys.stderr)")
    assert process.wait_for_exit(10)
    lines = process.log_tail(10_000).splitlines()
    assert len(lines) == LOG_LINES
    assert lines[-1] == "last"
    assert max(map(len, lines)) <= 2000
    process.close()


def test_closing_ends_the_whole_group_even_if_it_does_not_want_to() -> None:
    process = _python(
        """
        import signal, subprocess, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
        child = subprocess.Popen([sys.executable, "-c", stubborn])
        print("ready", child.pid)
        signal.pause()
        """
    )
    match = process.wait_for_line(READY, 10)
    assert match is not None
    process.close()
    process.close()
    assert not process.alive()
    assert _ended(int(match[1]))


@pytest.mark.parametrize("end", ["sys.exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["exit", "killed"])
def test_nothing_outlives_this_interpreter(end: str) -> None:
    """At a normal exit by atexit, at SIGKILL by the guard."""
    code = f"""
        import os, re, signal, sys
        from conformance.endpoints.process import ManagedProcess
        child = ManagedProcess([sys.executable, "-u", "-c", "import signal; print('ready 1'); signal.pause()"])
        child.wait_for_line(re.compile("ready"), 10)
        print(child.pid, flush=True)
        {end}
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip().isdigit(), done.stderr
    assert _ended(int(done.stdout))


def test_scratch_files_go_with_the_process() -> None:
    process = _python("import tempfile, os; print('ready 1', tempfile.mkstemp()[1])")
    assert process.wait_for_exit(10)
    path = process.log_tail().split()[-1]
    assert os.path.exists(path)
    process.close()
    assert not os.path.exists(path)


def test_a_program_that_cannot_be_started_leaves_nothing() -> None:
    with pytest.raises(OSError, match="No such file"):
        ManagedProcess(["/nowhere/at/all"])
