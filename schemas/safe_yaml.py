"""Safe YAML for recipes: plain values only, no key twice, merge keys, and every mistake with its line and key.

The text is composed into nodes by PyYAML; what becomes of a node is decided here, so that nothing in a file can run
code, grow without bound, or fail without saying where. Dates are texts, as in YAML 1.2.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from pairwright.schemas.errors import RecipeError, dotted, one_line, short

LARGEST = 1 << 20
"""Bytes of a recipe's file."""
DEEPEST = 32
"""Levels of a recipe; options need about ten."""
MOST = 100_000
"""Values of a recipe, those that an alias stands for counted wherever it stands."""
LONGEST = 1024
"""Bits of a whole number."""
TAG = "tag:yaml.org,2002:"
SCALARS = {f"{TAG}{name}": name for name in ("str", "int", "float", "bool", "null")}
_READ = yaml.constructor.SafeConstructor()


class _Loader(yaml.SafeLoader):
    """Without dates and `=`: no option is one, and a name or a revision may look like one."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in {f"{TAG}timestamp", f"{TAG}value"}]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path) -> Any:
    """The content of a YAML file. Raises RecipeError, in one line, naming the file and the place in it."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"no recipe at {path}; `pairwright init DIR` writes one to start from") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} cannot be read as UTF-8 text: {error}") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{short(str(path))} cannot be read: {error}") from None
    if len(content) > LARGEST:
        raise RecipeError(f"{path} is larger than {LARGEST:,} bytes, which no recipe is; name the recipe's file")
    try:
        return _Reading().value(yaml.compose(text, Loader=_Loader), ())
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML: {one_line(str(error))}") from None
    except (ValueError, OverflowError):
        raise RecipeError(f"{path} is not valid YAML: an escape like \\U00110000 stands for no character") from None
    except RecursionError:
        raise RecipeError(f"{path} is not valid YAML: it is nested too deeply") from None
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


class _Reading:
    """From nodes to values; counts what it makes, so that aliases cannot unfold to more than MOST."""

    def __init__(self) -> None:
        self.made = 0

    def value(self, node: yaml.Node | None, steps: tuple[Any, ...], above: tuple[yaml.Node, ...] = ()) -> Any:
        """What a node stands for; `steps` is the way to it, `above` the nodes that it lies in."""
        if node is None:
            return None
        self.made += 1
        if self.made > MOST:
            _refuse(node, steps, f"the recipe unfolds to more than {MOST:,} values; use fewer aliases (*)")
        if any(one is node for one in above):
            _refuse(node, steps, "an alias (*) stands within what it names")
        if len(above) >= DEEPEST:
            _refuse(node, steps, f"nested too deeply: more than {DEEPEST} levels")
        inside = (*above, node)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{TAG}map":
            pairs = self._pairs(node, steps, inside)
            return {key: self.value(one, (*steps, key), inside) for key, one in pairs.items()}
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{TAG}seq":
            return [self.value(one, (*steps, place), inside) for place, one in enumerate(node.value)]
        return _scalar(node, steps)

    def _pairs(self, node: yaml.Node, steps: tuple[Any, ...], above: tuple[yaml.Node, ...]) -> dict[Any, yaml.Node]:
        """A mapping's own keys, then those that `<<` merges in: a key of its own wins, then the first of a list."""
        own: dict[Any, yaml.Node] = {}
        merged: list[yaml.Node] = []
        for key_node, value in node.value:
            if key_node.tag == f"{TAG}merge":
                if merged:
                    _refuse(key_node, steps, "key '<<' is given twice; write `<<: [*a, *b]`")
                merged = list(_mappings(value, steps))
                continue
            key = _key(key_node, steps)
            if key in own:
                _refuse(key_node, (), f"key {key!r} is given twice")
            own[key] = value
        for one in merged:
            if any(one is outer for outer in above):
                _refuse(one, steps, "an alias (*) stands within what it names")
            if len(above) >= DEEPEST:
                _refuse(one, steps, f"nested too deeply: more than {DEEPEST} levels")
            self.made += len(one.value)
            if self.made > MOST:
                _refuse(one, steps, f"the recipe unfolds to more than {MOST:,} values; use fewer aliases (*)")
            for key, value in self._pairs(one, steps, (*above, one)).items():
                own.setdefault(key, value)
        return own


def _mappings(node: yaml.Node, steps: tuple[Any, ...]) -> Iterator[yaml.Node]:
    """The mappings behind a merge key, which are one or a list."""
    for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if not isinstance(one, yaml.MappingNode):
            _refuse(one, (*steps, "<<"), "expected a mapping, or a list of mappings, to merge")
        yield one


def _key(node: yaml.Node, steps: tuple[Any, ...]) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        _refuse(node, steps, "a key is no text; quote it")
    return _scalar(node, steps)


def _scalar(node: yaml.Node, steps: tuple[Any, ...]) -> Any:
    kind = SCALARS.get(node.tag)
    if kind is None:
        known = ", ".join(SCALARS.values())
        _refuse(node, steps, f"tag {short(node.tag)} is not allowed; allowed: {known}, map, seq")
    try:
        value = _READ.construct_object(node)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, OverflowError):
        _refuse(node, steps, f"{short(node.value)} is no {kind} that can be read; quote it if it is text")
    if isinstance(value, int) and value.bit_length() > LONGEST:
        _refuse(node, steps, f"{short(node.value)} is a larger number than any option takes")
    return _text(value, node, steps) if isinstance(value, str) else value


def _text(value: str, node: yaml.Node, steps: tuple[Any, ...]) -> str:
    """The text, with pairs of surrogate escapes, as JSON writes them, put together."""
    try:
        whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        _refuse(node, steps, f"{short(value)} holds half of a pair of surrogates, which is no character")
    if "\0" in whole:
        _refuse(node, steps, f"{short(value)} holds the character NUL, which no text may")
    return whole


def _refuse(node: yaml.Node, steps: tuple[Any, ...], why: str) -> NoReturn:
    where = f"{dotted(steps)}: " if steps else ""
    raise RecipeError(f"line {node.start_mark.line + 1}: {where}{why}")
