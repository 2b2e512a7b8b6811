"""Table of risks of calling or importing dotted names.

A rule applies to a name and everything inside it; the longest matching name wins. Names without a
rule are judged by their package (:mod:`scripts.audit.names`). ``docs/sharing_configs.md`` contains
the table for users.
"""

from __future__ import annotations

from scripts.audit.findings import HIGH, LOW, MEDIUM, Sign

RISKS: dict[tuple[str, str, str], str] = {
    (HIGH, "process", "runs programs or ends processes"): """
        subprocess os.system os.popen os.fork os.forkpty os.kill os.killpg os.abort os._exit
        os.execl os.execle os.execlp os.execlpe os.execv os.execve os.execvp os.execvpe
        os.spawnl os.spawnle os.spawnlp os.spawnlpe os.spawnv os.spawnve os.spawnvp os.spawnvpe
        os.posix_spawn os.posix_spawnp os.startfile pty multiprocessing signal webbrowser
        concurrent.futures asyncio platform.popen _posixsubprocess pexpect sh
        torch.multiprocessing torch.distributed.run torch.distributed.launcher
        torch.distributed.elastic monai.utils.misc.run_cmd monai.utils.run_cmd
        monai.auto3dseg monai.apps.auto3dseg monai.apps.nnunet""",
    (HIGH, "delete", "deletes, moves or changes files"): """
        shutil os.remove os.unlink os.rmdir os.removedirs os.rename os.renames os.replace os.chmod
        os.chown os.lchown os.link os.symlink os.truncate os.write os.open os.fdopen os.putenv
        os.unsetenv os.chdir os.mkfifo os.mknod""",
    (HIGH, "write", "writes files wherever it is asked to"): """
        scripts.storage.files scripts.storage.output_folder scripts.bundle.record
        scripts.volumes.nifti scripts.training.tensor_files scripts.preparation scripts.phantom
        scripts.packaging scripts.study scripts.prediction.products scripts.prediction.manifest
        scripts.prediction.measures.statistics scripts.prediction.report scripts.prediction.dicom
        numpy.save numpy.savez numpy.savez_compressed
        numpy.savetxt numpy.memmap torch.save torch.serialization.save
        logging.FileHandler zipfile tarfile sqlite3""",
    (HIGH, "network", "talks to other machines"): """
        socket ssl socketserver select urllib.request urllib.urlopen http ftplib smtplib poplib
        imaplib nntplib telnetlib xmlrpc wsgiref requests httpx aiohttp urllib3 websocket websockets
        boto3 botocore paramiko fabric wget gdown huggingface_hub transformers datasets fsspec s3fs
        gcsfs wandb comet_ml zmq grpc torch.hub torch.utils.model_zoo torch.distributed.rpc
        monai.apps.utils.download_url monai.apps.utils.download_and_extract monai.apps.download_url
        monai.apps.download_and_extract monai.apps.datasets monai.apps.tcia
        monai.bundle.scripts.download monai.bundle.scripts.load
        monai.bundle.scripts.download_large_files monai.bundle.scripts.push_to_hf_hub
        monai.bundle.download monai.bundle.load monai.bundle.download_large_files
        monai.bundle.push_to_hf_hub monai.fl""",
    (HIGH, "pickle", "unpickles: a file that it reads can run any code"): """
        pickle _pickle cPickle dill cloudpickle joblib shelve marshal jsonpickle copyreg torch.load
        torch.serialization torch.package pandas.read_pickle yaml.load yaml.unsafe_load
        yaml.full_load""",
    (HIGH, "code", "runs code that is given as text, a file or a name"): """
        builtins.eval builtins.exec builtins.compile builtins.__import__ builtins.__build_class__
        builtins.globals builtins.locals builtins.vars builtins.setattr builtins.delattr
        builtins.__loader__ builtins.__builtins__ builtins.__spec__ importlib imp runpy code codeop
        pkgutil zipimport types.FunctionType types.CodeType types.LambdaType ctypes cffi _ctypes
        pydoc sys.modules sys.meta_path sys.path sys.path_hooks sys._getframe sys.settrace
        sys.setprofile sys.addaudithook gc inspect atexit site operator.attrgetter
        operator.methodcaller _operator.attrgetter _operator.methodcaller builtins.getattr
        torch.ops torch.classes torch.utils.cpp_extension torch.library numpy.f2py
        numpy.ctypeslib numpy.distutils monai.utils.module monai.utils.instantiate
        monai.utils.optional_import monai.utils.load_submodules monai.utils.safeeval monai.bundle
        monai._extensions timeit trace profile cProfile doctest unittest code nose pytest setuptools
        pip distutils ensurepip venv scripts.demo scripts.__main__ scripts.storage.workers
        scripts.audit""",
    (LOW, "read", "returns the folder of a packaged bundle"): "scripts.packaging.location",
    (MEDIUM, "code", "stops in a debugger and waits for the keyboard"): """
        builtins.breakpoint builtins.input builtins.help pdb bdb IPython""",
    (MEDIUM, "code", "runs TorchScript, which can read and write files"): "torch.jit.load",
    (MEDIUM, "read", "reads files or folders"): """
        os glob pathlib tempfile io fileinput linecache codecs numpy.load numpy.fromfile
        numpy.loadtxt numpy.genfromtxt numpy.DataSource mmap json.load csv configparser""",
    (HIGH, "write", "opens a file in a way that can write"): "builtins.open io.open _io.open",
    (MEDIUM, "write", "makes folders"): "os.mkdir os.makedirs",
    (MEDIUM, "read", "reads environment variables, which may hold secrets"): """
        os.environ os.getenv os.environb""",
    (MEDIUM, "process", "changes how the whole process runs"): "sys threading resource",
    (LOW, "expression", "computes"): """
        math cmath statistics itertools functools collections operator _operator random string re
        json datetime time copy typing types numbers fractions decimal enum dataclasses warnings
        logging pprint textwrap uuid hashlib base64 abc contextlib bisect heapq os.path posixpath
        ntpath os.sep os.pathsep os.linesep os.name os.cpu_count os.getcwd os.fspath urllib.parse
        sys.maxsize sys.version sys.version_info sys.platform sys.byteorder sys.float_info
        sys.stdout sys.stderr pathlib.PurePath pathlib.PurePosixPath
        json.loads json.dumps importlib.metadata inspect.signature inspect.isclass shlex sys.argv
        monai.bundle.utils.ID_SEP_KEY ast.literal_eval platform.system
        platform.machine platform.python_version""",
}

# methods that are risky on any object
METHODS: dict[tuple[str, str, str], str] = {
    (HIGH, "process", "runs programs"): """
        system popen Popen check_output check_call getoutput getstatusoutput spawn fork execv execve
        execvp posix_spawn""",
    (HIGH, "delete", "deletes or moves files"): "rmtree unlink rmdir rename removedirs chmod",
    (HIGH, "write", "writes files wherever it is asked to"): """
        write_text write_bytes tofile savetxt symlink_to hardlink_to extractall to_csv to_json
        to_pickle""",
    (HIGH, "network", "talks to other machines"): """
        urlopen urlretrieve load_state_dict_from_url load_url download_url_to_file
        hf_hub_download snapshot_download from_pretrained push_to_hub create_connection""",
    (HIGH, "pickle", "unpickles: a file that it reads can run any code"): """
        read_pickle Unpickler unpickle""",
    (HIGH, "code", "reaches Python's insides"): """
        f_globals f_locals f_builtins f_back gi_frame gi_code cr_frame cr_code ag_frame tb_frame
        tb_next func_globals func_code co_code import_module exec_module load_module
        load_library attrgetter methodcaller""",
    (MEDIUM, "read", "reads files or folders"): """
        read_text read_bytes iterdir rglob glob listdir scandir fromfile loadtxt genfromtxt
        expanduser""",
    (MEDIUM, "write", "makes files or folders"): "mkdir makedirs touch mkdtemp mkstemp",
}


def _words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


# builtin functions that only compute
PLAIN_BUILTINS = _words(
    """
    abs all any ascii bin bool bytearray bytes callable chr complex dict dir divmod
    enumerate filter float format frozenset hasattr hash hex id int isinstance issubclass
    iter len list map max min next object oct ord pow print property range repr reversed
    round set slice sorted staticmethod classmethod str sum super tuple type zip True False
    None NotImplemented Ellipsis __debug__ __name__ __doc__"""
)

DANGEROUS_MODULES = _words(
    """
    os sys subprocess shutil importlib builtins ctypes pickle socket urllib requests runpy
    pty posix tempfile glob pathlib io multiprocessing marshal zipfile tarfile inspect pdb"""
)


def _spread(table: dict[tuple[str, str, str], str]) -> dict[str, Sign]:
    """Expand a table of lists into one entry per name."""
    return {
        name: Sign(level, kind, name, why)
        for (level, kind, why), names in table.items()
        for name in names.split()
    }


_RULES = _spread(RISKS)
_METHODS = _spread(METHODS)


def rule_of(name: str) -> Sign | None:
    """Return the rule for a dotted name or the innermost package around it; None if there is none.

    Example:
        >>> rule_of("os.path.join").level, rule_of("os.system").kind, rule_of("torch.nn.L1Loss")
        ('low', 'process', None)
    """
    parts = name.split(".")
    if parts[0] in ("posix", "nt"):  # os is implemented by these
        parts[0] = "os"
    for length in range(len(parts), 0, -1):
        rule = _RULES.get(".".join(parts[:length]))
        if rule is not None:
            return Sign(rule.level, rule.kind, name, rule.why)
    return None


def method_rule_of(name: str) -> Sign | None:
    """Return the rule for an attribute of any object; None if there is none."""
    rule = _METHODS.get(name)
    if rule is None and is_internal(name):
        return Sign(HIGH, "code", name, "reaches Python's insides")
    return rule


HARMLESS_INTERNALS = _words(
    """
    __all__ __slots__ __post_init__
    __version__ __name__ __doc__ __len__ __main__ __init__ __call__ __file__"""
)


def is_internal(name: str) -> bool:
    """Whether a name is a Python internal (``__class__`` ...), by which code can escape checks.

    Example:
        >>> is_internal("__subclasses__"), is_internal("__version__"), is_internal("size")
        (True, False, False)
    """
    dunder = len(name) > 4 and name.startswith("__") and name.endswith("__")
    return dunder and name not in HARMLESS_INTERNALS
