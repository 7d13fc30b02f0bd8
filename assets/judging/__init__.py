"""From responses to verdicts: passes of models, routers, judges."""
