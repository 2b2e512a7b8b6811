"""What other tools take from a bundle: metadata, TorchScript, ONNX, MONAI's properties."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from monai.utils import set_determinism

from tests.bundles.bundle_commands import make_here, say_here
from tests.bundles.config_files import ROOT
from tests.bundles.exported import check_onnx, check_torchscript

SCHEMA = ROOT / "tests" / "bundles" / "meta_schema_20240725.json"  # Project MONAI, Apache-2.0


class ExportContract:
    """Inherited by the test of each bundle.

    It gives the fixtures ``model_pt`` (file of a tiny training), ``eager`` (its network) and
    ``asked`` (overrides of a workflow, by the name of its config).

    Attributes:
        configs: the bundle's folder of configs.
        files_of: config files of a workflow.
        narrow: words that make the network of the metadata's check small.
        channels: of the output, as the metadata say.
    """

    configs: ClassVar[str]
    files_of: ClassVar[Callable[[str], list[str]]]
    narrow: ClassVar[tuple[str, ...]] = ()
    channels: ClassVar[int]

    def export(self, command: str, model_pt: Path, path: Path, *options: object) -> str:
        """Export the trained network by one of MONAI's commands."""
        words = ["--filepath", path, "--meta_file", f"{self.configs}/metadata.json"]
        words += ["--ckpt_file", model_pt, "--key_in_ckpt", "model", "--ckpt_path", model_pt]
        words += ["--config_file", repr(self.files_of("inference"))]
        return say_here(command, "network_def", *words, *options)

    def test_metadata_when_verified_offline_then_follows_the_schema(self) -> None:
        metadata = ["--meta_file", f"{self.configs}/metadata.json"]
        printed = say_here("verify_metadata", *metadata, "--filepath", SCHEMA)
        assert "skipped downloading" in printed
        assert "metadata is verified with no error" in printed

    def test_network_of_the_default_config_then_has_the_ports_of_the_metadata(self) -> None:
        words = ["verify_net_in_out", "network_def", "--any", "48", *self.narrow]
        words += ["--meta_file", f"{self.configs}/metadata.json"]
        printed = say_here(*words, "--config_file", f"{self.configs}/inference.json")
        assert "data shape of network is verified with no error" in printed

    def test_torchscript_then_equals_eager_and_carries_the_metadata(
        self, model_pt: Path, eager: torch.nn.Module, tmp_path: Path
    ) -> None:
        path = tmp_path / "model.ts"
        self.export("ckpt_export", model_pt, path)
        ports = check_torchscript(path, eager)["network_data_format"]
        assert ports["inputs"]["image"]["num_channels"] == 3
        assert ports["outputs"]["pred"]["num_channels"] == self.channels
        path.unlink()

    def test_onnx_then_equals_eager(
        self, model_pt: Path, eager: torch.nn.Module, tmp_path: Path
    ) -> None:
        path = tmp_path / "model.onnx"
        self.export("onnx_export", model_pt, path, "--input_shape", [2, 3, 64, 64])
        check_onnx(path, eager)
        path.unlink()

    @pytest.mark.usefixtures("_at_root")
    # LoadImaged sets all of MONAI's readers up, those that are not named too
    @pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
    @pytest.mark.parametrize(
        ("name", "kind"), [("train", "train"), ("inference", "infer"), ("evaluate", "infer")]
    )
    def test_properties_then_none_is_missing(
        self, asked: Callable[[str], dict[str, Any]], tmp_path: Path, name: str, kind: str
    ) -> None:
        overrides = {**asked(name), "output_dir": str(tmp_path)}
        workflow = make_here("run", self.files_of(name), overrides, workflow_type=kind)
        workflow.initialize()
        set_determinism(None)
        assert workflow.check_properties() == []
