"""The flow of a recipe: its stages, in the order in which data goes through them."""

from pairwright.assets.auditing.failures import outcomes_stage
from pairwright.assets.auditing.given_labels import disagreement_stages
from pairwright.assets.intake.stages import intake_stages
from pairwright.assets.judging.domains import routers_of
from pairwright.assets.judging.likelihood import passes
from pairwright.assets.judging.paid_stages import domains_stage, pass_stage, verdicts_stage
from pairwright.assets.judging.verdicts import guides_first
from pairwright.assets.pairing.pair import pair_stages
from pairwright.assets.pairing.prefer import preferences_stage, scales_stage
from pairwright.assets.pairing.rank import rankings_stage
from pairwright.assets.releasing.release import splits_stage
from pairwright.assets.releasing.release_stage import release_stage
from pairwright.assets.sampling.pool import policies_of
from pairwright.assets.sampling.sample import responses_stage
from pairwright.assets.sampling.stages import samples_stage
from pairwright.assets.stages.stage import Stage
from pairwright.schemas.recipe import Recipe


def flow(recipe: Recipe) -> list[Stage]:
    """Every table of a data set, each after those that it reads. What the sources are taken in to comes first."""
    policies = policies_of(recipe)
    return [
        *intake_stages(recipe),
        *(samples_stage(recipe, policy) for policy in policies),
        *([responses_stage(recipe)] if policies else []),
        *map(domains_stage, routers_of(recipe)),
        *map(pass_stage, passes(recipe)),
        *(verdicts_stage(recipe, judge) for judge in guides_first(recipe)),
        scales_stage(recipe),
        preferences_stage(recipe),
        outcomes_stage(recipe),
        *disagreement_stages(recipe),
        *pair_stages(recipe),
        rankings_stage(recipe),
        splits_stage(recipe),
        release_stage(recipe),
    ]
