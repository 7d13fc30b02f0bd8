"""What Dagster stores of an asset's value: nothing, since assets write their tables themselves.

Dagster's own manager has a folder to write to among the options of a run, which anyone who may start a run could set.
"""

from typing import Any

import dagster as dg


class _NoValues(dg.IOManager):
    """Takes no value and gives none."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Raises TypeError for a value: an asset has to store its own."""
        if obj is not None:
            raise TypeError(f"asset {context.asset_key.to_user_string()} returned a value; it has to store it itself")

    def load_input(self, context: dg.InputContext) -> Any:
        """Raises TypeError: an asset reads the tables of others itself."""
        raise TypeError(f"asset {context.asset_key.to_user_string()} has no value to load; read its table")


NO_VALUES = dg.IOManagerDefinition(resource_fn=lambda _: _NoValues(), config_schema={})
"""The manager of all assets, without any option."""
