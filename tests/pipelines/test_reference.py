"""docs/recipe.md is what the models say now."""

from pathlib import Path

from pairwright.pipelines.reference import reference
from pairwright.schemas.recipe import Recipe

PAGE = Path(__file__).parents[2] / "docs" / "recipe.md"


def test_the_recipe_reference_is_current() -> None:
    made = reference()
    assert PAGE.read_text() == made, "run: python -m pairwright.pipelines.reference > docs/recipe.md"
    assert all(f"| `{name}` |" in made for name in Recipe.model_fields)
