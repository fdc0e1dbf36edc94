"""Port and check source code that calls the two functions.

    files      which files, what is in them, how they are written
    codes      the codes of all that is reported
    findings   what is reported of a line, and the comments that silence it
    resolve    which names mean which function
    rules      what `portnorm check` finds
    check      one file, by all rules
    port       what `portnorm port` rewrites

Needs libcst, pathspec and rich: `pip install 'portnorm[tools]'`.
"""
