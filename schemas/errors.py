"""The one family of errors. Each message names the value, what is allowed, and the fix."""


class PairwrightError(Exception):
    """Base of every error that a user can mend; the command line prints it as one line, without a traceback."""


class RecipeError(PairwrightError):
    """The recipe cannot be used as written."""


class SourceError(PairwrightError):
    """A source file or dataset is missing, unreadable, or lacks what the recipe asks of it."""


class JudgeError(PairwrightError):
    """A judge cannot run at all (a missing model, an unreachable server); nothing was written."""


class StoreError(PairwrightError):
    """A table on disk is missing, damaged, or in use by another build."""


class BudgetError(PairwrightError):
    """The recipe's budget is spent; all paid work is kept."""
