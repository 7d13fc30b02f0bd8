"""Twins: what a policy writes with thinking on, and with thinking off, for the same prompts."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

SIDES = ("on", "off")


class Twins(BaseModel):
    """The options that differ. Each sample is drawn under both, and both are kept: as those of two policies, whose
    names end in `-on` and `-off` (traces and empty traces, as BVPO wants them)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: dict[str, Any]
    """Options of the policy under which it thinks, such as `reasoning_effort: high`; its `extra` goes on top of the
    policy's own."""
    off: dict[str, Any]
    """Options under which it does not, such as `extra: {chat_template_kwargs: {enable_thinking: false}}`."""

    @model_validator(mode="before")
    @classmethod
    def _spelt_in_yaml(cls, data: Any) -> Any:
        """`on` and `off` are truth values in YAML."""
        if not isinstance(data, dict):
            return data
        return {{True: "on", False: "off"}[key] if isinstance(key, bool) else key: one for key, one in data.items()}

    def options(self, side: str, of: dict[str, Any]) -> dict[str, Any]:
        """The policy's options under one of the sides. Raises ValueError for options that twins share."""
        own = self.on if side == "on" else self.off
        shared = next((name for name in ("kind", "name", "twins", "samples") if name in own), None)
        if shared:
            raise ValueError(f"twins.{side}.{shared}: both twins have the same; write it at the policy")
        extra = {**of.get("extra", {}), **own["extra"]} if isinstance(own.get("extra"), dict) else None
        name = f"{of['name']}-{side}"
        return {**of, **own, "name": name, **({"extra": extra} if extra is not None else {})}
