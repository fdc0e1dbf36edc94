"""What `portnorm port` and `portnorm check` share: reading source code, and reporting about it.

    discovery   which files the paths on a command line name
    files       a file: its bytes, its text, and the way back from another text to bytes
    notebooks   the code cells of a notebook as one text, and back
    processes   a function over many files, on all cores
    names       which names in a module mean one of the two functions
    values      what can be told of the value of an expression
    operations  calls of the frameworks' operators, by what they compute
    divisors    expressions on the way from a tensor to its norm
    by_hand     normalization that is written by hand
    edits       pieces of text that replace others
    codes       the codes of all that is reported
    findings    what is reported of a line, and the comments that silence it
    project     what the files of a project import from one another
    excerpts    findings with the lines of source that they are about
    report      findings as text, JSON, SARIF and annotations of GitHub
    guide       the guide's pages about codes and functions
    config      settings in pyproject.toml

Needs pathspec: `pip install 'portnorm[tools]'`.
"""
