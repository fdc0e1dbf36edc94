"""The rules of `portnorm check`: one module for each."""

from portnorm.check.rule import Problem, Rule
from portnorm.check.rules import (
    confused_epsilons,
    copied_eps,
    default_axis,
    default_epsilon,
    float16,
    given_tensor,
    gradient,
    hand_written,
    no_counterpart,
    torchvision,
    two_forms,
    wrong_keywords,
)

__all__ = ["RULES", "Problem", "Rule"]

RULES: tuple[Rule, ...] = (
    default_epsilon.RULE,
    copied_eps.RULE,
    confused_epsilons.RULE,
    gradient.RULE,
    float16.RULE,
    default_axis.RULE,
    given_tensor.RULE,
    wrong_keywords.RULE,
    no_counterpart.RULE,
    torchvision.RULE,
    hand_written.RULE,
    two_forms.RULE,
)
"""In the order of their codes."""
