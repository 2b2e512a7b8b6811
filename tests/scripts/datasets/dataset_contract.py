"""What every data set must hold to: a class of tests that the test of each data set inherits."""

from __future__ import annotations

import pickle
from dataclasses import fields
from pathlib import Path
from random import Random

import numpy as np
import pytest

from scripts.datasets.contract import DataSet, Labelled, Listing, Scan
from scripts.datasets.known import KNOWN, data_set_class
from scripts.datasets.shares import PARTITIONS
from scripts.preparation.prepare_command import help_of


class DataSetContract:
    """Inherit, and define ``made``: a data set with options, and a whole source of three scans.

    ``refused`` names the own splits that this source cannot give.
    """

    refused: tuple[str, ...] = ()

    @pytest.fixture
    def made(self, tmp_path) -> tuple[DataSet, Path]:
        raise NotImplementedError

    @pytest.fixture
    def data_set(self, made) -> DataSet:
        return made[0].at(made[1])

    @pytest.fixture
    def listing(self, made, data_set) -> Listing:
        return data_set.find(made[1])

    def damage(self, scan: Scan) -> str:
        """Spoil a file of a scan; what the error must name."""
        path = scan.files[0]
        path.write_bytes(b"no image")
        return path.name

    def test_class_then_described_whole(self, data_set):
        assert data_set_class(data_set.name) is type(data_set)
        assert data_set.kind in ("instances", "classes")
        assert data_set.label_kind in data_set.label_kinds
        assert data_set.window_hu[0] < data_set.window_hu[1]
        assert data_set.metric.startswith("val_")
        assert {*data_set.leaking_splits, *data_set.untested_splits} <= set(data_set.splits)
        assert KNOWN[data_set.name].summary

    def test_options_then_explained_in_the_help(self, data_set):
        text = help_of(data_set.name)
        for option in fields(data_set):
            if option.init:
                assert f"\n    {option.name}: " in text
        assert "\n    source: " in text

    def test_classes_then_numbered_from_the_background(self, data_set):
        classes = data_set.classes()
        assert list(classes) == list(range(len(classes)))
        assert classes[0] == "background"
        if data_set.kind == "instances":
            assert len(classes) == 2

    def test_find_then_scans_with_unique_ids_and_files_that_exist(self, listing):
        assert len(listing.scans) == 3
        assert list(listing.problems) == []
        assert len({scan.id for scan in listing.scans}) == 3
        for scan in listing.scans:
            assert Path(scan.id).name == scan.id
            assert scan.patient_id
            assert scan.files
            assert all(path.is_file() for path in scan.files)
            assert scan.image_file is None or scan.image_file.is_file()

    def test_find_when_source_is_missing_then_refused(self, made, tmp_path):
        with pytest.raises(OSError, match="nowhere"):
            made[0].at(tmp_path / "nowhere").find(tmp_path / "nowhere")

    def test_scan_and_data_set_then_travel_to_a_worker(self, data_set, listing):
        for scan in listing.scans:
            assert pickle.loads(pickle.dumps(scan)) == scan
        worker = pickle.loads(pickle.dumps(data_set))
        _check_equal(worker.read(listing.scans[0]), data_set.read(listing.scans[0]))

    def test_read_then_lps_arrays_of_one_shape(self, data_set, listing):
        for scan in listing.scans:
            labelled = data_set.read(scan)
            assert labelled.label.dtype == np.uint8
            assert labelled.label.shape == labelled.volume.hu.shape
            assert min(labelled.volume.spacing_mm) > 0
            affine = labelled.volume.affine_lps
            assert (np.abs(affine[:3, :3]).argmax(axis=0) == [0, 1, 2]).all()
            assert (np.diag(affine)[:3] > 0).all()
            numbers = set(np.unique(labelled.label).tolist()) - {0}
            if data_set.kind == "instances":
                assert {item["id"] for item in labelled.objects} == numbers
            else:
                assert numbers <= set(data_set.classes())
                assert labelled.known is None or numbers <= set(labelled.known)

    def test_read_again_then_the_same(self, data_set, listing):
        scan = listing.scans[-1]
        _check_equal(data_set.read(scan), data_set.read(scan))

    def test_read_when_a_file_is_damaged_then_it_is_named(self, data_set, listing):
        name = self.damage(listing.scans[0])
        with pytest.raises((ValueError, OSError), match=name):
            data_set.read(listing.scans[0])

    def test_divide_then_every_scan_in_a_partition(self, data_set, listing):
        for split in data_set.splits:
            if split in self.refused:
                with pytest.raises(ValueError, match=r"^split: "):
                    data_set.divide(listing.scans, split, test_fold=0, random=Random(0))
                continue
            divided = data_set.divide(listing.scans, split, test_fold=0, random=Random(0))
            assert set(divided) == {scan.id for scan in listing.scans}
            assert set(divided.values()) <= set(PARTITIONS)

    def test_dependence_and_record_then_json_and_repeatable(self, made, data_set, listing):
        again = made[0].at(made[1])
        for scan, other in zip(listing.scans, again.find(made[1]).scans, strict=True):
            assert data_set.depends_on(scan) == again.depends_on(other)
        assert data_set.record() == again.record()


def _check_equal(one: Labelled, other: Labelled) -> None:
    np.testing.assert_array_equal(one.volume.hu, other.volume.hu)
    np.testing.assert_array_equal(one.volume.affine_lps, other.volume.affine_lps)
    np.testing.assert_array_equal(one.label, other.label)
    assert (one.known, list(one.objects)) == (other.known, list(other.objects))
