"""The executable model: which outcomes of a program are admissible, and which rule an outcome breaks.

An independent reading of docs/model.md. It knows `conformance.wire` (values and timestamps) and nothing else of this project;
above all not the reference runner, so that the two can disagree. docs/oracle.md tells how to read it.
"""

from conformance.oracle.errors import ProgramError, UnsupportedProgram
from conformance.oracle.judge import Verdict, judge
from conformance.oracle.observed import Seen
from conformance.oracle.program import Program

__all__ = ["Program", "ProgramError", "Seen", "UnsupportedProgram", "Verdict", "judge"]
