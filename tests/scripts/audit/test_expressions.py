import pytest

from scripts.audit.expressions import audit_expression
from scripts.audit.findings import LEVELS
from scripts.audit.names import Names

NAMES = Names()
IMPORTS = {"o": "os", "glob": "glob", "math": "math"}


def level_of(text):
    signs = audit_expression(text, NAMES, IMPORTS)
    return min((sign.level for sign in signs), key=LEVELS.index)


@pytest.mark.parametrize(
    "text",
    [
        "$__import__('os').system('x')",
        "$getattr(__import__('os'), 'system')('x')",
        "$getattr(torch, 'lo' + 'ad')('x')",
        "$getattr(@a, @name)",
        "$eval('1')",
        "$exec('1')",
        "$compile('1', '', 'eval')",
        "$(lambda f: f('x'))(eval)",
        "$(lambda eval=eval: eval('1'))()",
        "$[f for f in [o.system]][0]('x')",
        "${k: o.popen for k in 'ab'}['a']('x')",
        "$f'{o.popen(1)}'",
        "$f'{@a:{o.popen(1)}}'",
        "$(s := o.system) and s('x')",
        "$().__class__.__bases__[0].__subclasses__()",
        "$'{0.__class__}'.format(1)",
        "$torch.os.system('x')",
        "$torch.utils.data._utils.os.remove('x')",
        "$o.path.genericpath.os.system('x')",
        "$monai.utils.misc.subprocess.run(['x'])",
        "$monai.utils.misc.run_cmd(['x'])",
        "$np.load('x', allow_pickle=True)",
        "$torch.load(@path)",
        "$torch.load(@path, weights_only=False)",
        "$torch.hub.load('a', 'b')",
        "$open(@path, 'w')",
        "$open(@path, @mode)",
        "$setattr(torch, 'load', 1)",
        "$globals()['x']",
        "$@path.unlink()",
        "$[@a.write_text('x')]",
        "$@engine.run() if o.system('x') else 1",
        "$'http://example.org/x'",
        "$import subprocess",
        "$import socket as s",
        "$from os import system as s",
        "$from urllib.request import urlopen",
        "$import ctypes",
        "$(",
        "$@a @ @b",
        "$" + "-" * 9_000 + "1",
        "$" + "1+" * 9_000 + "1",
    ],
)
def test_expression_that_reaches_out_then_high(text):
    assert level_of(text) == "high"


@pytest.mark.parametrize(
    "text",
    [
        "$open(@path).read()",
        "$sorted(glob.glob(@dir + '/*'))",
        "$np.load(@path)",
        "$torch.load(@path, weights_only=True)",
        "$torch.jit.load(@path)",
        "$o.environ['TOKEN']",
        "$getattr(@a, 'shape')",
        "$import os",
        "$import a_package_of_somebody",
        "$('{0.' + @a).format(1)",
        "$breakpoint()",
    ],
)
def test_expression_that_reads_or_is_unknown_then_medium(text):
    assert level_of(text) == "medium"


@pytest.mark.parametrize(
    "text",
    [
        "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "$@network_def.to(@device)",
        "$@bundle_root + '/models'",
        "$[*@patch_size, 1]",
        "$monai.handlers.from_engine(['pred', 'label'])",
        "$[x * 2 for x in @a]",
        "$(lambda x: x['image'])(@a)",
        "$len(@a) if @b is None else math.sqrt(2)",
        "$@train::trainer.run()",
        "$@network.eval()",
        "$@list.remove(1)",
        "$o.path.join(@a, 'b')",
        "$import torch",
        "$from monai.transforms import Compose",
    ],
)
def test_expression_that_computes_then_low(text):
    assert level_of(text) == "low"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("$undefined(1)", "this name is neither imported nor defined"),
        ("$x = 1", "is not an expression"),
        ("$import torch, monai", "MONAI imports only the first"),
    ],
)
def test_expression_that_would_fail_then_a_problem(text, why):
    signs = audit_expression(text, NAMES, IMPORTS)
    assert [sign.level for sign in signs] == ["problem"]
    assert why in signs[0].why


def test_what_is_found_then_named():
    signs = audit_expression("$o.system(@a) or torch.hub.load('x', 'y')", NAMES, IMPORTS)
    assert {(sign.kind, sign.what) for sign in signs} == {
        ("process", "os.system"),
        ("network", "torch.hub.load"),
    }
