"""Modules that are trained side by side until one is left: what becomes of the others."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def empty(module: nn.Module) -> None:
    """Take the rows of a module's parameters out: it is not needed any more, and is not kept."""
    for name, parameter in list(module.named_parameters()):
        owner, _, leaf = name.rpartition(".")
        kept = nn.Parameter(parameter.detach()[:0].clone(), requires_grad=parameter.requires_grad)
        setattr(module.get_submodule(owner), leaf, kept)


def kept_parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of a model by name; of rivals that are not kept, those of the one that
    is, so that a training can start from them whichever it trains.
    """
    found = {name: value.detach() for name, value in model.named_parameters()}
    for prefix, module in model.named_modules():
        if not isinstance(module, nn.ModuleList):
            continue
        rivals = {name: dict(one.named_parameters()) for name, one in module.named_children()}
        kept = [own for own in rivals.values() if own and all(v.numel() for v in own.values())]
        if len(kept) == 1:
            for number in rivals:
                found |= {f"{prefix}.{number}.{name}": v.detach() for name, v in kept[0].items()}

    return found


def empty_as_stored(rivals: nn.ModuleList) -> None:
    """Have a list of modules empty those whose stored parameters have no rows, when it is loaded."""

    def make_room(owner: nn.Module, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for number, module in owner.named_children():
            names = (f"{prefix}{number}.{name}" for name, _ in module.named_parameters())
            if any(name in state and not len(state[name]) for name in names):
                empty(module)

    rivals.register_load_state_dict_pre_hook(make_room)  # type: ignore[no-untyped-call]
