"""What the names in a module mean: where it names one of the two functions.

functions   the two functions by their names in full
syntax      the syntax tree of a module, and where its nodes stand in the text
scopes      what binds a name, and where it is read
calls       the arguments of a call
module      where a module names one of the two
"""

from portnorm.source.names.calls import Argument, Bound, argument_span, arguments, bind
from portnorm.source.names.functions import FRAMEWORKS, PARAMETERS, Function, might_contain
from portnorm.source.names.module import Module, Unresolved, Use
from portnorm.source.names.scopes import Binding, Variable
from portnorm.source.names.syntax import NotPythonError, Syntax, dotted, last_name, parse

__all__ = [
    "FRAMEWORKS",
    "PARAMETERS",
    "Argument",
    "Binding",
    "Bound",
    "Function",
    "Module",
    "NotPythonError",
    "Syntax",
    "Unresolved",
    "Use",
    "Variable",
    "argument_span",
    "arguments",
    "bind",
    "dotted",
    "last_name",
    "might_contain",
    "parse",
]
