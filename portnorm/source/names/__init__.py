"""What the names in a module mean: where it names one of the two functions.

functions   the two functions by their names in full
syntax      the syntax tree of a module, and where its nodes stand in the text
scopes      what binds a name, and where it is read
kept        values that are kept under a name
meaning     what an expression may mean
meanings    the same for all of a module, by way of assignments, attributes and other files, too
indirect    where a string names one of the two, or another function takes its place
calls       the arguments of a call
objects     what becomes of an operator that is constructed
module      where a module names one of the two
"""

from portnorm.source.names.calls import Argument, Bound, argument_span, arguments, bind
from portnorm.source.names.functions import NAMES, PARAMETERS, Function, might_contain
from portnorm.source.names.kept import default_of
from portnorm.source.names.meaning import UNKNOWN, Elsewhere, Meaning, nowhere
from portnorm.source.names.meanings import Meanings
from portnorm.source.names.module import Module, Other, Unresolved, Use
from portnorm.source.names.scopes import Binding, Variable
from portnorm.source.names.syntax import NotPythonError, Syntax, dotted, last_name, member, parse

__all__ = [
    "NAMES",
    "PARAMETERS",
    "UNKNOWN",
    "Argument",
    "Binding",
    "Bound",
    "Elsewhere",
    "Function",
    "Meaning",
    "Meanings",
    "Module",
    "NotPythonError",
    "Other",
    "Syntax",
    "Unresolved",
    "Use",
    "Variable",
    "argument_span",
    "arguments",
    "bind",
    "default_of",
    "dotted",
    "last_name",
    "member",
    "might_contain",
    "nowhere",
    "parse",
]
