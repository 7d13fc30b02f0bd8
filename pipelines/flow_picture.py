"""A picture of the flow, made from the stages: `python -m pairwright.pipelines.flow_picture` prints the demo's."""

from pairwright.assets.flow import flow
from pairwright.pipelines.recipes import DEMO
from pairwright.schemas.reading import load_recipe
from pairwright.schemas.recipe import Recipe


def picture(recipe: Recipe) -> str:
    """A Mermaid flowchart of the kinds of tables; fits, which are about the whole data set, in brackets."""
    stages = flow(recipe)
    kind_of = {stage.table: _kind(stage.name) for stage in stages}
    kinds = dict.fromkeys(kind_of.values())
    fits = {_kind(stage.name) for stage in stages if stage.fit and stage.name != "release"}
    arrows = dict.fromkeys(
        (kind_of[one.table], _kind(stage.name))
        for stage in stages
        for one in stage.inputs
        if kind_of[one.table] != _kind(stage.name)
    )
    nodes = [f'  {kind}[["{kind}"]]' if kind in fits else f"  {kind}[{kind}]" for kind in kinds]
    return "\n".join(["flowchart LR", *nodes, *(f"  {old} --> {new}" for old, new in arrows)])


def _kind(name: str) -> str:
    return name.split("/")[0]


if __name__ == "__main__":
    print(picture(load_recipe(DEMO)))
