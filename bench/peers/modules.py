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
        known = others(classes)
        if name not in known or options:
            raise SystemExit(f"the peer has no {architecture}; it has mlp, lenet5, resnet20, {', '.join(known)}")
        module = known[name]()
    missing, unexpected = module.load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise SystemExit(f"the peer's {name} is another network: missing {missing}, unexpected {unexpected}")
    return module


def others(classes: int) -> dict:
    """What makes a module, by name: the tests' modules, but as large as the worker's own where theirs are small."""
    import torchvision.models as tv
    from architectures import CASES, CifarResNet

    vit = {"image_size": 32, "patch_size": 4, "num_layers": 6, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768}
    return {
        **{name: make for name, (make, _) in CASES.items()},
        "resnet44": lambda: CifarResNet(7),
        "resnet110": lambda: CifarResNet(18),
        "vgg11": lambda: tv.vgg11(num_classes=classes),
        "vgg16": lambda: tv.vgg16(num_classes=classes),
        "vit": lambda: tv.VisionTransformer(**vit, num_classes=classes),
    }
