"""An app of MONAI Deploy: DICOM, one bundle, DICOM SEG. Run in Deploy's environment."""

from __future__ import annotations

import sys
from pathlib import Path


def main(bundle: Path, dicom: Path, output: Path, names: list[str]) -> None:
    """Write one DICOM SEG for the one series in a folder.

    Args:
        bundle: unpacked package, or its models/model.ts.
        dicom: folder of the series.
        output: folder to write into.
        names: of the segments.
    """
    from monai.deploy.conditions import CountCondition
    from monai.deploy.core import Application
    from monai.deploy.core.domain import Image
    from monai.deploy.core.io_type import IOType
    from monai.deploy.operators import dicom_data_loader_operator as loading
    from monai.deploy.operators import dicom_seg_writer_operator as writing
    from monai.deploy.operators import dicom_series_selector_operator as selecting
    from monai.deploy.operators import dicom_series_to_volume_operator as stacking
    from monai.deploy.operators import monai_bundle_inference_operator as inferring
    from pydicom.sr.codedict import codes

    segments = [
        writing.SegmentDescription(
            segment_label=name,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_name=bundle.name,
            algorithm_family=codes.DCM.ArtificialIntelligence,
            algorithm_version="1",
        )
        for name in names
    ]
    rules = '{"selections": [{"name": "CT", "conditions": {"Modality": "CT"}}]}'
    ports = {
        "input_mapping": [inferring.IOMapping("image", Image, IOType.IN_MEMORY)],
        "output_mapping": [inferring.IOMapping("pred", Image, IOType.IN_MEMORY)],
    }

    class App(Application):
        def compose(self) -> None:
            context = Application.init_app_context(["", "-i", str(dicom), "-o", str(output)])
            once = CountCondition(self, 1)
            load = loading.DICOMDataLoaderOperator(self, once, input_folder=dicom, name="load")
            select = selecting.DICOMSeriesSelectorOperator(self, rules=rules, name="select")
            stack = stacking.DICOMSeriesToVolumeOperator(self, name="stack")
            infer = inferring.MonaiBundleInferenceOperator(
                self, app_context=context, bundle_path=bundle, name="infer", **ports
            )
            write = writing.DICOMSegmentationWriterOperator(
                self, segment_descriptions=segments, output_folder=output, name="write"
            )
            chosen = ("study_selected_series_list", "study_selected_series_list")
            self.add_flow(load, select, {("dicom_study_list", "dicom_study_list")})
            self.add_flow(select, stack, {chosen})
            self.add_flow(stack, infer, {("image", "image")})
            self.add_flow(select, write, {chosen})
            self.add_flow(infer, write, {("pred", "seg_image")})

    sys.argv = sys.argv[:1]  # the SDK reads them
    App([]).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
