import pytest

from scripts.audit.expressions import audit_expression, imported_names
from scripts.audit.findings import LEVELS
from scripts.audit.names import Names
from scripts.audit.static_values import Static

NAMES = Names()
CONFIG = {"text": "x/etc/passwd", "dir": "data", "lr": 0.1, "list": [1, 2], "name": "a"}
IMPORTS = {"o": "os", "os": "os", "glob": "glob", "math": "math", "pathlib": "pathlib"}
STATIC = Static(CONFIG, IMPORTS)


def level_of(text):
    signs = audit_expression(text, NAMES, STATIC)
    return min((sign.level for sign in signs), key=LEVELS.index)


@pytest.mark.parametrize(
    "text",
    [
        *("$__import__('os').system('x')", "$getattr(torch, 'lo' + 'ad')('x')", "$eval('1')"),
        *("$(lambda f: f('x'))(eval)", "$(lambda eval=exec: eval('1'))()", "$[o.system][0]('x')"),
        *("${k: o.popen for k in [1]}['a']('x')", "$[f for f in [eval]]", "$exec('1')"),
        *("$().__class__.__bases__[0].__subclasses__()", "$torch.os.system('x')"),
        *("$torch.utils.data._utils.os.remove('x')", "$o.path.genericpath.os.system('x')"),
        *("$monai.utils.misc.subprocess.run(['x'])", "$np.load('x', allow_pickle=True)"),
        *(
            "$torch.load(@dir)",
            "$torch.load(@dir, weights_only=False)",
            "$torch.hub.load('a', 'b')",
        ),
        *("$torch.load(@dir, None, p.pickle, weights_only=True)", "$open(@dir, 'w')"),
        *(
            "$setattr(torch, 'load', 1)",
            "$globals()['x']",
            "$@engine.run() if o.system('x') else 1",
        ),
        *("$'http://example.org/x'", "$['ftp://a']", "$import subprocess", "$import socket as s"),
        *("$from os import system as s", "$from urllib.request import urlopen", "$import ctypes"),
        *(
            "$(",
            "$@a @ @b",
            "$" + "-" * 9_000 + "1",
            "$" + "1+" * 9_000 + "1",
            "$_a",
            "$__local_refs",
        ),
    ],
)
def test_expression_known_to_do_harm_then_high(text):
    assert level_of(text) == "high"


@pytest.mark.parametrize(
    "text",
    [
        *("$np.fromstring('1')", "$o.environ['TOKEN']", "$o.listdir('.')", "$o.getcwd()"),
        *("$sorted(glob.glob('/home/*'))", "$glob.glob(@computed + @list)", "$'{0.' + str(1)"[:9]),
        *("$import sys", "$import a_package_of_somebody", "$from .nets import Net"),
        *("$import torch, monai", "$1; 2", "$x = 1", "$undefined(1)", "$", "$[s for s in 'ab']"),
        *("$@path.unlink()", "$[@a.write_text('x')]", "$'{0}'.format(1)", "$@a.save('x')"),
        *("$(s := 1)", "$(yield 1)", "$await @a", "$dict(**@a)", "$max(*@a)", "$[*[1]]"),
        *("$(lambda x: x)(1)", "$@a(1)", "$[len][0]('x')", "$torch.load", "$[glob.glob]"),
        *("$list(map(pathlib.Path, @list))", "$torch", "$[o][0]", "$lambda len: len"),
        *("$@name + @unknown::x.item()", "$f'{len(@list)}'", "$f'{@lr:c}'", "$'%c' % 47"),
        *("$@text[1:]", "$@text[0]", "$['x/y'][0][1:]", "$'.' * 2", "$'/etc' if @lr else 'a'"),
        *("$list('abc')", "$max(@text)", "$'a' + '/../..'", "$o.path.join(@dir, '/etc')"),
        *("$[x + '/' for x in @list]", "$pathlib.Path(@dir).parent", "$str.join('/', @list)"),
    ],
)
def test_expression_outside_the_grammar_then_medium(text):
    assert level_of(text) in ("medium", "high")


@pytest.mark.parametrize(
    "text",
    [
        "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        *("$@network_def.to(@device)", "$@dir + '/models'", "$[*@patch_size, 1]", "$@lr / 10"),
        *("$monai.handlers.from_engine(['pred', 'label'])", "$[x * 2 for x in @list]"),
        *(
            "$lambda x: x['image']",
            "$lambda x: torch.where(x > 0.5, 1, 0)",
            "$@train::trainer.run()",
        ),
        *("$len(@list) if @b is None else math.sqrt(2)", "$@network.eval()", "$@list[1:]"),
        *("$o.path.join(@dir, 'b')", "$import torch", "$from monai.transforms import Compose"),
        *(
            "$import os",
            "$from ignite.engine import Events",
            "$torch.load(@dir, weights_only=True)",
        ),
        *("$sorted(glob.glob(@dir + '/*.nii.gz'))", "$lambda x: x[:1]", "$2 ** (len(@list) - 1)"),
        *("$torch.optim.Adam(@network.parameters(), lr=@lr)", "$monai.utils.BlendMode.GAUSSIAN"),
        *(
            "$monai.networks.layers.Norm.BATCH",
            "$monai.data.list_data_collate",
            "$-@lr < 1 or not 0",
        ),
        *(
            "$'run' + str(@lr)",
            "$f'{@dir}/x'",
            "$@state['a'].get('norm') not in ('b', 'c')",
            "$10 % 3",
        ),
        "$[{'image': i, 'label': l} for i, l in zip(@images, @labels)]",
    ],
)
def test_expression_that_computes_then_low(text):
    assert level_of(text) == "low"


def test_what_is_found_then_named_with_the_ids_as_written():
    signs = audit_expression("$o.system(@a) or torch.hub.load('x', 'y')", NAMES, STATIC)
    assert {(sign.kind, sign.what) for sign in signs} == {
        ("process", "os.system"),
        ("network", "torch.hub.load"),
    }
    (sign,) = audit_expression("$@a::b(1)", NAMES, STATIC)
    assert sign.what == "@a::b"


def test_import_then_the_name_that_it_defines():
    assert imported_names("$import os.path") == {"os": "os"}
    assert imported_names("$from a import b as c") == {"c": "a.b"}
    assert imported_names("$(") == {}
    assert level_of("$import os as len") == "medium"
