"""Opening what reads token ids for a model: in this process, or on a server."""

from pairwright.models.local.backend import Backend
from pairwright.schemas.models import CausalModel


def limit_of(model: CausalModel) -> int:
    """The limit that the backend of a CausalModel will have, known without loading the model.

    Raises JudgeError, in one line, when it cannot be known.
    """
    if model.base_url:
        from pairwright.models.local import server

        return server.limit_of(model)
    from pairwright.models.local.loading import limit_of, load_config

    return limit_of(model, model.max_tokens, load_config(model))


def load(model: CausalModel) -> Backend:
    """The backend that a CausalModel names. Raises JudgeError, in one line, when it cannot be had."""
    if model.base_url:
        from pairwright.models.local.server import Server

        return Server(model)
    from pairwright.models.local.local import Local

    return Local.load(model)
