"""Which normalization turns one array into another: by its form, its axis, its epsilon, its bits.

layouts      the axes along which an array may have been normalized
candidates   all forms with all axes and epsilons, as predictions
search       the predictions that fit, and those that cannot be told apart
attempts     the same where arrays were rounded, or multiplied by a number
bits         the builds of the frameworks that give the very same bits
dump         the tensors of a call in a dump of msprobe
result       what was found, for people and programs
"""

from portnorm.identify.attempts import identify
from portnorm.identify.result import Explanation, Identification

__all__ = ["Explanation", "Identification", "identify"]
