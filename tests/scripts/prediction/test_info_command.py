import json
import subprocess
import sys

from scripts.prediction.info_command import collected, info, options_of, own_version
from scripts.prediction.writing.products import PRODUCTS, USUAL
from tests.scripts.prediction.studies import LUNG

KEYS = {
    *("format", "program", "versions", "device", "commands", "products", "options"),
    *("bundles", "bundle"),
}


def test_json_then_one_object_with_the_documented_keys(capsys):
    info(str(LUNG), json=True)
    content = json.loads(capsys.readouterr().out)
    assert set(content) == KEYS
    assert content["bundle"]["labels"][0]["name"] == "nodule"
    assert content["device"] is None
    assert content["program"]["version"] == own_version()


def test_products_then_all_with_the_usual_ones_marked():
    products = collected(None, device=False)["products"]
    assert [one["name"] for one in products] == list(PRODUCTS)
    assert tuple(one["name"] for one in products if one["by_default"]) == USUAL


def test_device_when_asked_then_said():
    device = collected(None, device=True)["device"]
    assert device["default"] in ("cpu", "cuda:0")
    assert device["threads"] >= 1


def test_options_of_predict_then_types_defaults_and_descriptions():
    options = {one["name"]: one for one in options_of("predict")}
    assert options["bundle"]["required"]
    assert options["jobs"] == {
        "name": "jobs",
        "type": "int",
        "required": False,
        "default": 1,
        "description": "number of studies predicted in parallel.",
    }


def test_lines_then_labels_and_where_the_network_is(capsys):
    info(str(LUNG))
    printed = capsys.readouterr().out
    assert "nodule (numbered)" in printed
    assert "--ckpt_path" in printed


def test_asking_then_neither_torch_nor_monai_is_imported():
    program = (
        "import sys; from scripts.prediction.info_command import info; info(json=True)\n"
        "sys.exit(bool({'torch', 'monai'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    assert done.returncode == 0
