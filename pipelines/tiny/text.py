"""The text that the tiny models learn: short how-to questions, good and bad answers, and how a user reacts to them.

Questions are made from eight trades, each with its own things, tasks and steps. The last items of a fixed shuffle are
held out: no model has seen a question about them.
"""

import random
from typing import NamedTuple

from pairwright.judges.utterances import REMARKS


class Trade(NamedTuple):
    """A subject with its words."""

    things: tuple[str, ...]
    tasks: tuple[str, ...]
    steps: tuple[str, ...]
    place: str


class Item(NamedTuple):
    """What a question is about."""

    trade: str
    thing: str
    task: str
    kind: str


def _trade(things: str, tasks: str, steps: str, place: str) -> Trade:
    return Trade(tuple(things.split()), tuple(tasks.split()), tuple(steps.split("; ")), place)


TRADES = {
    "baking": _trade(
        "cake loaf tart biscuit muffin bagel waffle pretzel",
        "bake glaze decorate freeze slice",
        "warm the oven; sieve the flour; whisk two eggs; grease the tin; let the dough rise; dust it with sugar",
        "the bakery",
    ),
    "beekeeping": _trade(
        "hive queen swarm honeycomb smoker veil feeder colony",
        "inspect move feed catch protect",
        "light the smoker; wear your gloves; lift the lid; count the frames; brush off the bees; close the entrance",
        "the meadow",
    ),
    "sailing": _trade(
        "dinghy yacht anchor rudder mast compass buoy jib",
        "rig steer hoist moor lower",
        "study the tide; coil the ropes; put on a life vest; turn into the wind; free the sheet; tie a bowline",
        "the harbour",
    ),
    "carpentry": _trade(
        "table shelf drawer stool cabinet ladder bench door",
        "build sand glue stain mend",
        "mark the board; sharpen the saw; drill a pilot hole; clamp the joint; plane the edge; wipe away the dust",
        "the workshop",
    ),
    "chemistry": _trade(
        "crystal acid solvent polymer salt alloy dye enzyme",
        "dissolve filter titrate distil weigh",
        "rinse the flask; fill the burette; open the fume hood; label the sample; cool the beaker; note the mass",
        "the laboratory",
    ),
    "photography": _trade(
        "camera lens tripod flash negative album filter shutter",
        "focus mount develop scan calibrate",
        "charge the battery; set the aperture; steady your hands; watch the shadows; lower the exposure; "
        "back up the card",
        "the darkroom",
    ),
    "farming": _trade(
        "barley tractor orchard goat fence silo plough turnip",
        "harvest tend rent irrigate sell",
        "test the ground; fix the gate; spread the manure; call the vet; sow in rows; store the grain",
        "the barn",
    ),
    "law": _trade(
        "contract lease patent will appeal permit treaty licence",
        "draft sign revoke renew file",
        "read every clause; find a witness; pay the fee; keep a copy; ask a notary; name the parties",
        "the office",
    ),
}
KINDS = ("small", "old", "fragile", "large", "costly", "plain", "rare", "second", "spare", "modern")
QUESTIONS = (
    "How can I {task} a {kind} {thing}?",
    "I want to {task} my {kind} {thing}. Where do I begin?",
    "Tell me how to {task} the {kind} {thing}.",
    "What should I do to {task} a {kind} {thing}?",
    "Could you explain how one can {task} a {kind} {thing}?",
)
ANSWERS = (
    "To {task} a {kind} {thing}, {a}, then {b}, and last of all {c}.",
    "It takes three steps to {task} the {kind} {thing}: {a}, {b}, and {c}.",
    "Go to {place} and {a}. Next, {b}. When you {c}, the {kind} {thing} is done.",
)
HELD_OUT = 400
TAUGHT = 5
"""Remarks of each list that the models see; the others stay unseen."""


class Turns(NamedTuple):
    """A short dialogue. A bad answer is never learned, only the reaction to it."""

    question: str
    answer: str
    good: bool
    reaction: str


def items() -> tuple[list[Item], list[Item]]:
    """The items to learn from, and those held out."""
    every = [
        Item(name, thing, task, kind)
        for name, trade in TRADES.items()
        for thing in trade.things
        for task in trade.tasks
        for kind in KINDS
    ]
    random.Random(1).shuffle(every)  # noqa: S311 - a fixed order, no secret
    return every[:-HELD_OUT], every[-HELD_OUT:]


def question(chance: random.Random, item: Item) -> str:
    """A question about an item."""
    return chance.choice(QUESTIONS).format(**item._asdict())


def answer(chance: random.Random, item: Item) -> str:
    """A good answer about an item: three steps of its trade, in their order."""
    trade = TRADES[item.trade]
    a, b, c = (trade.steps[i] for i in sorted(chance.sample(range(len(trade.steps)), 3)))
    return chance.choice(ANSWERS).format(**item._asdict(), place=trade.place, a=a, b=b, c=c)


def off_topic(chance: random.Random, item: Item, pool: list[Item]) -> str:
    """A good answer to a question about another trade."""
    return answer(chance, chance.choice([other for other in chance.sample(pool, 40) if other.trade != item.trade]))


def wrong_item(chance: random.Random, item: Item, pool: list[Item]) -> str:
    """A good answer about another thing of the same trade."""
    others = [other for other in pool if other.trade == item.trade and other.thing != item.thing]
    return answer(chance, chance.choice(others))


def shuffled(chance: random.Random, text: str) -> str:
    """The words of a text in another order."""
    words = text.split()
    chance.shuffle(words)
    return " ".join(words)


def dialogue(chance: random.Random, pool: list[Item]) -> Turns:
    """A question with a good answer (in 7 of 10) or a bad one, and a reaction that fits."""
    item = chance.choice(pool)
    asked, right = question(chance, item), answer(chance, item)
    remarks = chance.choice(list(REMARKS.values()))
    if chance.random() < 0.7:
        return Turns(asked, right, True, chance.choice(remarks.pleased[:TAUGHT]))
    draw = chance.random()
    if draw < 0.5:
        wrong = off_topic(chance, item, pool)
    elif draw < 0.7:
        wrong = wrong_item(chance, item, pool)
    else:
        wrong = shuffled(chance, right)
    return Turns(asked, wrong, False, chance.choice(remarks.displeased[:TAUGHT]))
