"""The network as TorchScript: what MONAI Deploy reads with it, and no trace of the machine."""

import json
import zipfile

from monai.data import load_net_with_metadata


def test_torchscript_then_carries_what_deploy_reads(bundle):
    path = bundle / "models" / "model.ts"
    _, metadata, extra = load_net_with_metadata(str(path), more_extra_files=["inference.json"])
    assert metadata == json.loads((bundle / "configs" / "metadata.json").read_text())
    config = json.loads(extra["inference.json"])
    assert config == json.loads((bundle / "configs" / "inference.json").read_text())
    assert {"preprocessing", "postprocessing", "inferer", "device"} <= config.keys()
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert {"model/extra/metadata.json", "model/extra/inference.json"} <= set(names)
    assert not [name for name in names if "debug" in name]
