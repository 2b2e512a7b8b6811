"""``python -m scripts domain_model``: one domain of a network for several, as a model by itself."""

from __future__ import annotations

from pathlib import Path

from custom_nets.definition import build_network
from custom_nets.survey.multi_domain import MultiDomainNetwork
from scripts.bundle.model_file import (
    NETWORK,
    content_of,
    read_model,
    settings_of,
    settings_of_config,
)
from scripts.running.options import read_words
from scripts.storage.shipped import shipped
from scripts.training.tensor_files import write_tensors
from scripts.training.weights.trained_weights import load_weights


def write_domain(model: str, domain: str, bundle: str, output: str) -> None:
    """Write the network of one domain as the model file of an ordinary bundle.

    ``evaluate``, ``predict``, ``package`` and ``--start_from`` then take it like any other.

    Args:
        model: model.pt of a training with configs/data/nodules_and_organs.json.
        domain: its name, for example nodules.
        bundle: folder of the bundle for this domain, whose train.json names its window and classes.
        output: the file to write.

    Raises:
        FileNotFoundError: when a file does not exist.
        ValueError: for a network without domains, an unknown domain, or a bundle with another
            number of outputs.
    """
    (path,) = read_words("model", model)
    read = read_model(path)
    definition = (read.settings or {}).get(NETWORK) or read.definition or {}
    network = build_network(definition) if definition else None
    if not isinstance(network, MultiDomainNetwork):
        raise ValueError(
            f"model: {path} must be of a {MultiDomainNetwork.__name__}, got "
            f"{definition.get('_target_', 'a file without settings')}"
        )
    load_weights(network, read)
    single = network.for_domain(domain)
    train = shipped(Path(str(bundle)) / "configs" / "train.json")
    if not train.is_file():
        raise FileNotFoundError(f"bundle: no configs/train.json in {bundle}")
    settings = settings_of_config(train)
    asked = settings.pop(NETWORK)["out_channels"]
    if asked != network.domains[domain]:
        raise ValueError(
            f"bundle: {bundle} has {asked} outputs, the domain {domain} has "
            f"{network.domains[domain]}; name the bundle of this domain"
        )
    data = dict(read.record.get("data", {}))
    content = content_of(single.state_dict(), settings_of(single, settings), data)
    write_tensors(Path(str(output)), content)
    print(f"written: {output}, the network of {domain} with {len(single.state_dict())} tensors")
