"""What pyproject.toml cannot say of the wheel."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContractHook(BuildHookInterface):
    """Ships skyfan_contract and skyfan_watch beside skyfan too, not only in the stack.

    A force-include would also copy it into an editable install, where the copy would hide the clone's.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds."""
        if version == "standard":
            for name in ("skyfan_contract", "skyfan_watch"):
                build_data["force_include"][f"functions/runtime/{name}"] = name
