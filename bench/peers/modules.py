"""The peers' networks: the ordinary PyTorch modules that the worker's tests are held against, by the names of sweep files."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "fixtures"))


def network(architecture: str, state: dict, channels: int, classes: int = 10):
    """The module that `architecture` (a name, or JSON with its options) means, holding `state`."""
    options = json.loads(architecture) if architecture.startswith("{") else {"architecture": architecture}
    name = options.pop("architecture")
    if name == "mlp":
        from networks import Mlp

        sizes = [tensor.shape for key, tensor in sorted(state.items()) if key.endswith(".weight")]
        module = Mlp(sizes[0][1], [rows for rows, _ in sizes[:-1]], sizes[-1][0])
    elif name == "lenet5":
        from networks import LeNet5

        module = LeNet5(channels, classes)
    elif name == "resnet20":
        from networks import ResNet20

        module = ResNet20(channels, classes)
    else:
        from architectures import CASES

        if name not in CASES or options:
            raise SystemExit(f"the peer has no {architecture}; it has mlp, lenet5, resnet20, {', '.join(CASES)}")
        module = CASES[name][0]()
    missing, unexpected = module.load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise SystemExit(f"the peer's {name} is another network: missing {missing}, unexpected {unexpected}")
    return module
