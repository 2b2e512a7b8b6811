"""Configs that do harm, each in a way of its own; running one of ``RUNNING`` makes a folder.

``CANARY`` stands for the path of that folder, which is outside the folder of the config.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CANARY = "/CANARY"
MARK = "__import__('os').mkdir('/CANARY')"

Config = dict[str, Any]


def _run(*expressions: str, **parts: Any) -> Config:
    return {**parts, "run": list(expressions)}


def _part(target: Any, **arguments: Any) -> Config:
    return {"part": {"_target_": target, **arguments}, "run": ["$@part"]}


def _function(target: str, **arguments: Any) -> Config:
    """A function that another component is to call."""
    return {"_target_": target, "_mode_": "callable", **arguments}


RUNNING: dict[str, Config] = {
    "expression": _run(f"${MARK}"),
    "import": _run("$os.mkdir('/CANARY')", imports=["$import os"]),
    "import under a trusted name": _run("$m.mkdir('/CANARY')", late="$import os as m"),
    "import of a function": _run("$f('/CANARY')", imports=["$from os import makedirs as f"]),
    "import in the middle": _run("$import os", "$os.mkdir('/CANARY')"),
    "import over a name in use": _run(
        "$math.mkdir('/CANARY')", imports=["$import math", "$import os as math"]
    ),
    "component": _part("os.mkdir", path="/CANARY"),
    "component of a private module": _part("posix.mkdir", path="/CANARY"),
    "component through torch": _part("torch.serialization.os.mkdir", path="/CANARY"),
    "component through MONAI": _part("monai.data.utils.os.mkdir", path="/CANARY"),
    "target by reference": {**_part("@name", path="/CANARY"), "name": "os.mkdir"},
    "target by two references": {
        **_part("@a", path="/CANARY"), "a": "@b#0", "b": ["os.mkdir"]
    },
    "target put together": _part("$'os.mk' + 'dir'", path="/CANARY"),
    "target by expression": _part("$__import__('os').mkdir", path="/CANARY"),
    "target of a part": {
        **_part("$@f.func", path="/CANARY"),
        "f": {"_target_": "os.mkdir", "_mode_": "callable", "mode": 511},
    },
    "target that is a component": _part(_function("os.mkdir"), path="/CANARY"),
    "component that makes a file": _part("os.mknod", path="/CANARY"),
    "nested in arguments": _part(
        "Compose", transforms=[{"_target_": "os.makedirs", "name": "/CANARY"}]
    ),
    "disabled, but its arguments are evaluated": _part("Compose", _disabled_=True, a=f"${MARK}"),
    "disabled by expression": _part("Compose", _disabled_=f"${MARK}"),
    "required": _part("Compose", _requires_=f"${MARK}"),
    "description": _part("Compose", _desc_=f"${MARK}"),
    "mode by expression": _part("Compose", _mode_=f"${MARK} or 'default'"),
    "function for a transform": _run(
        "$@part('/CANARY')", part={"_target_": "Lambda", "func": _function("os.mkdir")}
    ),
    "function in a lambda": _run(
        "$@part('/CANARY')",
        part={"_target_": "Lambda", "func": "$lambda x: __import__('os').mkdir(x)"},
    ),
    "default of a lambda": _run(f"$(lambda x={MARK}: x)()"),
    "comprehension": _run(f"$[x for x in [1] if not {MARK}]"),
    "walrus": _run(f"$(x := {MARK})"),
    "f-string": _run(f"$f\"{{{MARK}}}\""),
    "f-string with a format": _run(f"$f\"{{1:{{{MARK} or 1}}}}\""),
    "condition": _run(f"$1 if {MARK} else 2"),
    "index": _run(f"$[1][{MARK} or 0]"),
    "keyword": _run(f"$dict(a={MARK})"),
    "eval": _run(f"$eval({MARK!r})"),
    "exec under another name": _run(f"$[exec][0]({MARK!r})"),
    "map": _run(f"$list(map(eval, [{MARK!r}]))"),
    "sorted by": _run(f"$sorted([{MARK!r}], key=eval)"),
    "function that a name hides": _run(f"$[[0 for eval in []], eval({MARK!r})]"),
    "getattr": _run("$getattr(__import__('os'), 'mk' + 'dir')('/CANARY')"),
    "getattr through a module": _run("$getattr(torch.serialization, 'os').mkdir('/CANARY')"),
    "attribute chain": _run("$torch.serialization.os.mkdir('/CANARY')"),
    "attribute chain of MONAI": _run("$monai.bundle.scripts.os.mkdir('/CANARY')"),
    "globals of a function": _run(
        "$monai.transforms.Compose.__init__.__globals__['np'].f2py.os.mkdir('/CANARY')"
    ),
    "classes of everything": _run(
        "$[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == '_wrap_close'][0]"
        ".__init__.__globals__['mkdir']('/CANARY')"
    ),
    "builtins of a builtin": _run(f"$print.__self__.eval({MARK!r})"),
    "letters that Python reads as others": _run(f"$\uff45val({MARK!r})"),
    "MONAI's import": _run("$monai.utils.optional_import('os')[0].mkdir('/CANARY')"),
    "MONAI's import as a component": _run(
        "$@part[0].mkdir('/CANARY')",
        part={"_target_": "monai.utils.module.optional_import", "module": "os"},
    ),
    "MONAI's instantiate": _run(
        "$monai.utils.instantiate('os.mkdir', 'default', path='/CANARY')"
    ),
    "a config in a config": _run(
        "$@part.get_parsed_content('a')",
        part={"_target_": "monai.bundle.ConfigParser", "config": {"a": "$1", "b": "@text"}},
        text="$" + MARK,
    ),
    "MONAI's process runner": _run(
        "$monai.utils.misc.run_cmd(['mkdir', '/CANARY'])"
    ),
    "operator": _run(
        "$operator.methodcaller('mkdir', '/CANARY')(m)",
        imports=["$import operator", "$import os as m"],
    ),
    "reduce": _run(
        "$functools.reduce(m.mkdir, ['/CANARY', 511])",
        imports=["$import functools", "$import os as m"],
    ),
    "partial": _run(
        "$functools.partial(m.mkdir, '/CANARY')()",
        imports=["$import functools", "$import os as m"],
    ),
    "pathlib": _run("$pathlib.Path('/CANARY').mkdir()", imports=["$import pathlib"]),
    "pathlib through a part": _run(
        "$@folder.mkdir()", imports=["$import pathlib"], folder="$pathlib.Path('/CANARY')"
    ),
    "path put together": {
        **_part("PersistentDataset", data=[], transform=None, cache_dir="$@a.replace('!', '')"),
        "a": "!/CANARY",
    },
    "cache in a folder outside": _part(
        "PersistentDataset", data=[], transform=None, cache_dir="/CANARY"
    ),
    "cache in a folder cut from a text": {
        **_part("PersistentDataset", data=[], transform=None, cache_dir="$@a[1:]"),
        "a": "x/CANARY",
    },
    "cache in the folder of the list's index": {
        **_part("PersistentDataset", data=[], transform=None, cache_dir="$(lambda x: x)(@a)[0]"),
        "a": ["/CANARY"],
    },
    "tensorboard outside": _part("TensorBoardHandler", log_dir="/CANARY"),
    "table outside": _run(
        "$@part.finalize()",
        part={"_target_": "monai.data.CSVSaver", "output_dir": "/CANARY"},
    ),
    "hash function": _run(
        "$@part[0]",
        part={
            "_target_": "PersistentDataset", "data": ["/CANARY"], "transform": "$lambda x: 1",
            "cache_dir": "cache", "hash_func": _function("os.mkdir"),
        },
    ),
    "function of a loader": _run(
        "$next(iter(@part))",
        part={
            "_target_": "DataLoader", "dataset": ["/CANARY"], "batch_size": 1, "num_workers": 0,
            "collate_fn": "$lambda x: m.mkdir(x[0])",
        },
        imports=["$import os as m"],
    ),
    "reader by name": _part("LoadImage", reader="os.mkdir", path="/CANARY"),
    "writer by name": _run(
        "$@part.writer_obj if False else @part",
        part={"_target_": "SaveImage", "output_dir": "/CANARY", "writer": "NibabelWriter"},
        made={"_target_": "os.mkdir", "path": "/CANARY"},
        seen="@made",
    ),
    "schedule": _run(
        "$@part",
        part={
            "_target_": "torch.optim.lr_scheduler.LambdaLR",
            "optimizer": "$torch.optim.SGD([torch.zeros(1)], 0.1)",
            "lr_lambda": f"$lambda epoch: {MARK} or 1",
        },
    ),
    "statistics of a sample": _run(
        "$@part(torch.zeros(1))",
        part={"_target_": "DataStats", "additional_info": f"$lambda x: {MARK}"},
    ),
}  # fmt: skip

# what cannot be tried here: it would need a network, a keyboard or someone's files
OTHER: dict[str, Config] = {
    "bundle from the network": _part("monai.bundle.download", name="a", source="github"),
    "address for a download": _part("monai.apps.download_url", url="https://example.org/a"),
    "code from the network": _run("$torch.hub.load('someone/code', 'model')"),
    "weights from the network": _part("resnet50", pretrained=True),
    "weights from the network by default": _part("EfficientNetBN", model_name="efficientnet-b0"),
    "weights and code from the network": _part("PerceptualLoss", spatial_dims=2),
    "address of weights": _part("HoVerNet", pretrained_url="https://example.org/a.pt"),
    "data from the network": _part("DecathlonDataset", root_dir=".", download=True, task="a"),
    "tracking server": _part("MLFlowHandler", tracking_uri="https://example.org"),
    "tracking server without the usual scheme": _part("MLFlowHandler", tracking_uri="databricks://a"),
    "process group elsewhere": _run(
        "$torch.distributed.init_process_group(init_method='tcp://192.0.2.1:1', world_size=2)"
    ),
    "table from the network": _part("CSVDataset", src="https://example.org/a.csv"),
    "pickled weights": _run("$torch.load('models/model.pt', weights_only=False)"),
    "pickled weights by a module": _run(
        "$torch.load('a.pt', pickle_module=p, weights_only=True)", imports=["$import pickle as p"]
    ),
    "pickled weights as a component": _part("torch.load", f="models/model.pt"),
    "pickled cache": _part("PersistentDataset", data=[], transform=None, cache_dir="cache",
                           weights_only=False),
    "pickled arrays": _run("$np.load('a.npy', allow_pickle=True)"),
    "pickled arrays by a reader": _part("LoadImaged", keys="a", reader="NumpyReader",
                                        allow_pickle=True),
    "pickle": _run("$pickle.load(open('a'))", imports=["$import pickle"]),
    "TorchScript": _run("$torch.jit.load('a.ts')"),
    "compiled operations": _run("$torch.ops.load_library('a.so')"),
    "images outside": _part("SaveImaged", keys="a", output_dir="/srv/www"),
    "images above": _part("SaveImaged", keys="a", output_dir="models/../../other"),
    "images in the home folder": _part("SaveImaged", keys="a", output_dir="~/.config"),
    "images put together outside": {
        **_part("SaveImaged", keys="a", output_dir="$@output_dir + '/../..'"), "output_dir": "out"
    },
    "images on another drive": _part("SaveImaged", keys="a", output_dir="C:\\Users"),
    "images on another machine": _part("SaveImaged", keys="a", output_dir="\\\\server\\share"),
    "log in a folder outside": _part("LogfileHandler", output_dir="/srv/www"),
    "code as a log": _part("LogfileHandler", output_dir=".", filename="conftest.py"),
    "code by its ending": _part("SaveImaged", keys="a", output_dir="out", output_ext=".py"),
    "hooks of a repository": _part("CheckpointSaver", save_dir=".git/hooks", save_dict={}),
    "results beside another folder": _part(
        "SaveImaged", keys="a", output_dir="out", data_root_dir="a/b/c/d"
    ),
    "file by its scheme": _part("MLFlowHandler", tracking_uri="file:/srv/www"),
    "name that leaves its folder": _part("CheckpointSaver", save_dir="out", save_dict={},
                                         final_filename="../../model.pt"),
    "private file": _part("load_decathlon_datalist", data_list_file_path="/etc/passwd"),
    "private images": _part("Dataset", data=[{"image": "/home/someone/head.nii"}]),
    "private images put together": _run(
        "$[{'image': max('/') + 'home' + x} for x in ['/someone']]"
    ),
    "private folder": _run("$glob.glob('/home/*/*.pem')", imports=["$import glob"]),
    "secrets": _run("$os.environ['TOKEN']", imports=["$import os"]),
    "path hidden in a text": _run("$'x/etc/passwd'[1:]"),
    "path of bytes": _run("$[{'image': str(b'/etc/passwd', 'utf8')}]"),
    "path of a module's constant": _run("$os.path.sep", imports=["$import os"]),
    "component in an expression": _part(
        "scripts.bundle.model_file.trained_network",
        settings="$dict(network_def={'_target_': 'monai.networks.nets.MILModel'})",
    ),
    "path of characters": _run("$f'{47:c}etc'"),
    "path by formatting": {**_run("$@a % 47"), "a": "%cetc/passwd"[0:0] + " %cetc/passwd"},
    "network in a text": _run("$'{0.__class__}'.format(@part)", part={"_target_": "Compose"}),
    "debugger": _part("Compose", _mode_="debug"),
    "debugger by an argument": _part("Compose", _debug_=True),
    "endless processes": _part("DataLoader", dataset=[], multiprocessing_context="fork"),
    "merger by name": _part("PatchInferer", merger_cls="shutil.rmtree"),
    "writer of another package": _part("SaveImaged", keys="a", output_dir="o", writer="a.b.Writer"),
    "builtin": _part("builtins.exec", source="1"),
    "unknown package": _part("helpful.Tool"),
    "name with a space": _part("Compose "),
    "name with an invisible letter": _part("Comp\u200bose"),
    "argument that is passed on": _part("DataLoader", dataset=[], strange="value"),
    "star arguments": _run("$dict(*[[]])"),
    "attribute of a module": _run("$@part.apply(print)", part={"_target_": "torch.nn.Identity"}),
    "await": _run("$await @a", a=1),
    "two statements": _run("$1; 2"),
    "import of everything": _run("$1", imports=["$from os import *"]),
    "import of two": _run("$1", imports=["$import torch, subprocess"]),
    "reference spelt out": _run("$__local_refs['a']", a=1),
    "placeholder": _run("$REFERENCE_0", a=1),
    "key that spells another id": _run("$@a::b", x={"a::b": "c"}, a={"b": 1}),
    "nested too deeply": _run("$" + "(" * 3000 + ")" * 3000),
    "too long": _run("$" + "1+" * 9000 + "1"),
    "address in a text": _run("$1", server="ftp://example.org"),
    "macro outside": _run("$1", a="%/etc/evil.json::a"),
    "metadata": {"_meta_": {"version": f"${MARK}"}, "run": ["$1"]},
}  # fmt: skip

# file -> config, for harm that only the composition has; the last item holds overrides
COMPOSED: dict[str, tuple[list[Config], list[str]]] = {
    "later file": ([_part("Compose"), {"part::_target_": "os.abort"}], []),
    "later file with hashes": ([_part("Compose"), {"part#_target_": "os.abort"}], []),
    "later file that adds to a list": ([_run("$1"), {"+run": ["$exit()"]}], []),
    "later file that adds to a component": (
        [_part("LoadImage"), {"+part": {"reader": "os.abort"}}], []
    ),
    "later file with the text of a reference": (
        [{**_part("@name"), "name": "Compose"}, {"name": "os.abort"}], []
    ),
    "later file with the folder": (
        [{**_part("SaveImage", output_dir="@out"), "out": "models"}, {"out": "/etc"}], []
    ),
    "macro": ([{"a": "%part::_target_", **_part("os.abort")}], []),
    "override": ([_part("Compose")], ["part#_target_=os.abort"]),
    "override of a list": ([_run("$1")], ["run#0=$exit()"]),
    "override of a folder": (
        [{**_part("SaveImage", output_dir="@out"), "out": "models"}], ["out=/etc"]
    ),
    "override by a component": ([_run("$@a", a=1)], ['a={"_target_": "os.abort"}']),
}  # fmt: skip


def write_all(folder: Path, configs: list[Config], canary: Path | str = "/CANARY") -> list[str]:
    """Write configs as files of a folder, with the path of the canary in them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, config in enumerate(configs):
        path = folder / f"config{number}.json"
        path.write_text(json.dumps(config).replace(CANARY, str(canary)))
        paths.append(str(path))
    return paths
