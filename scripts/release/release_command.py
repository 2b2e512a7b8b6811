"""``python -m scripts release``: a package with the evidence of what its network is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.bundle.data_set import KEY, declared_data_set
from scripts.packaging.documents import how_to_run, overlay_names
from scripts.packaging.exports.exports import check_exports
from scripts.packaging.package_command import (
    assemble,
    check_bundle,
    check_targets,
    own_readme,
    write_package,
)
from scripts.release.evidence import Evidence, read_evidence
from scripts.release.headline import headline
from scripts.release.model_card import description_of, eval_metrics, model_card
from scripts.release.wording import network_of, title_of
from scripts.storage.files import write_json, write_text
from scripts.storage.shipped import shipped

OF_OTHERS = """\
# Documentation of the bundle

General documentation of the bundle, as in its repository, where its commands are to be run. Figures
in it are of other networks than the released one, whose figures are in `README.md`.

"""
KEPT = ("label", "min_readers", "split", "slices", "every", "neighbours", "empty_share")


def release(
    bundle: str,
    output: str,
    *,
    run: str,
    evaluation: str,
    config_file: str | Sequence[str] = (),
    partial_test: bool = False,
    model_url: str | None = None,
    exports: str | Sequence[str] = (),
) -> None:
    """Write a package whose model card and metadata state what its network reached on a test set.

    As ``package``, and refused without an evaluation of this very network on a whole test set,
    none of which it was trained on or selected by. ``eval_metrics`` in the metadata and the model
    card docs/README.md, in the headings of MONAI's model zoo, are filled from the records of
    training and evaluation.

    Args:
        bundle: folder of the bundle.
        output: zip to write.
        run: folder of the training, with model.pt and its records.
        evaluation: folder of the evaluation, with summary.json.
        config_file: files laid over the bundle's configs, as for ``package``.
        partial_test: accept an evaluation of a part of the test set; the model card says so.
        model_url: future address of the weights, which are then written next to the zip;
            large_files.yml in the zip has the address and the SHA-256.
        exports: of pt2, onnx and torchscript (deprecated), as for ``package``.

    Raises:
        FileNotFoundError: when a part of the bundle, the training or the evaluation is missing.
        ValueError: for an evaluation of another network or of cases that it knows.
    """
    folder, target = shipped(bundle), Path(output)
    files = [config_file] if isinstance(config_file, str) else list(config_file)
    formats = check_exports(exports)
    check_bundle(folder)
    check_targets(target, model_url)
    evidence = read_evidence(Path(run), Path(evaluation), partial_test=partial_test)
    made = assemble(folder, files, ckpt_path=evidence.model.path)
    made = replace(made, metadata=released_metadata(made.metadata, evidence, folder))

    def document(unpacked: Path, location: str) -> None:
        docs, name = unpacked / "docs", unpacked.name
        laid_over = overlay_names(files)
        usage = how_to_run(name) + f"\nLaid over the bundle's configs: {_listed(laid_over)}."
        card = model_card(name, made.metadata, evidence, weights=location, usage=usage)
        write_text(docs / "README.md", card)
        write_text(docs / "bundle.md", OF_OTHERS + own_readme(folder))
        write_json(docs / "evidence.json", shared_evidence(evidence))

    write_package(made, target, document, model_url=model_url, exports=formats)
    print("\n".join(headline(evidence.summary, case=evidence.case)))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"


def released_metadata(
    metadata: Mapping[str, Any], evidence: Evidence, bundle: Path
) -> dict[str, Any]:
    """Return the metadata of a release: what they say of the network comes from its records.

    Args:
        metadata: of the package.
        evidence: records of training and evaluation.
        bundle: folder of the bundle.
    """
    recorded = dict(evidence.data.get("data_set", {}))
    trained_on = recorded.get("name") or evidence.tested_on
    released = {
        **metadata,
        "name": f"{metadata['task']}, {network_of(evidence.settings)}",
        "description": description_of(metadata, evidence),
        "eval_metrics": eval_metrics(evidence),
    }
    if trained_on != declared_data_set(bundle).name:
        released["data_source"] = title_of(trained_on)
        released[KEY] = {"name": trained_on}
    return released


def shared_evidence(evidence: Evidence) -> dict[str, Any]:
    """Return the records that are published with a network: no path, no name of a case.

    Hashes of the cases are those of the model file.
    """
    summary, data = evidence.summary, evidence.summary["data"]
    hashes = ("salt", "cases", "validation_cases", "test_cases")
    return {
        "model_sha256": evidence.sha256,
        "figures": summary["figures"],
        "counts": summary["counts"],
        "cases": summary["cases"],
        "definitions": summary.get("definitions", {}),
        "warnings": summary["warnings"],
        "remarks": summary["remarks"],
        "test_data": {name: data[name] for name in ("data_set", *KEPT) if name in data},
        "training_data": {k: v for k, v in evidence.data.items() if k not in hashes},
        "case_hashes": {name: evidence.data[name] for name in hashes if name in evidence.data},
        "versions": {
            "training": evidence.training.get("versions", {}),
            "evaluation": summary["provenance"]["versions"],
        },
    }
