"""`portnorm port`: calls of one framework's function, rewritten for the other framework.

The text is changed in place, by small edits; what is not edited stays as it is, byte for byte. A
call is rewritten where the result is known to be right, and reported where it is not.

    module    the text of one module
    adapter   the style in which calls go to portnorm
    inline    the styles in which calls go to operators of the framework, or to mint
    by_hand   normalization that is written by hand, which goes to a call
    imports   the imports that are added, and those that have become unused
    rewrite   what becomes of one place
    diff      a change as `git apply` and `patch` take it
    file      one file, and the checks of what came out

Needs pathspec and rich: `pip install 'portnorm[tools]'`.
"""

from portnorm.port.file import PortedFile, port_file
from portnorm.port.module import Ported, Reported, port_source
from portnorm.port.rewrite import Style, Target

__all__ = ["Ported", "PortedFile", "Reported", "Style", "Target", "port_file", "port_source"]
