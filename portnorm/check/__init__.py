"""`portnorm check`: ports between the two functions that went wrong. No code is run.

    rules    one module for each rule
    rule     what a rule is
    view     what the rules see of a module
    values   what can be told of tensors
    file     one file by all rules

Needs pathspec and rich: `pip install 'portnorm[tools]'`.
"""

from portnorm.check.file import DEFAULT, Checked, check, normalizations, selected

__all__ = ["DEFAULT", "Checked", "check", "normalizations", "selected"]
