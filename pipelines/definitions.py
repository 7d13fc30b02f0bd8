"""What `dagster dev` loads: every recipe that is found."""

from pairwright.pipelines.build import definitions
from pairwright.pipelines.recipes import find_recipes

defs = definitions(find_recipes())
