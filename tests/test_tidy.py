"""Rules of this repository that no linter checks."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

# Spelled in halves, so that this file does not find itself.
LEFTOVERS = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|\b(db" + r"g!|to" + r"do!)")
UNSAFE_LOADERS = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}


def tracked(*suffixes: str) -> list[Path]:
    """Files of the repository with one of these endings; ignored ones are not among them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in names.splitlines() if name.endswith(suffixes)]
    assert files, f"no file ends in {suffixes}"
    return [file for file in files if file.is_file()]


def name_of(path: Path) -> str:
    """A test id that a reader can open."""
    return str(path.relative_to(ROOT))


def test_no_source_file_is_longer_than_the_limit() -> None:
    lengths = {name_of(file): len(file.read_text().splitlines()) for file in tracked(".rs", ".py")}

    assert {name: n for name, n in lengths.items() if n > FILE_LINES_MAX} == {}


def functions(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a Python file."""
    tree = ast.parse(file.read_text())
    return [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the signature to the end, without the docstring."""
    docstring = ast.get_docstring(function, clean=False)
    skipped = len(docstring.splitlines()) if docstring else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - skipped


def test_no_python_function_is_longer_than_a_screen() -> None:
    too_long = {
        f"{name_of(file)}:{function.lineno} {function.name}": body_lines(function)
        for file in tracked(".py")
        for function in functions(file)
        if body_lines(function) > FUNCTION_LINES_MAX
    }

    assert too_long == {}


def test_every_rust_module_opens_by_saying_what_it_owns() -> None:
    bare = [name_of(f) for f in tracked(".rs") if not f.read_text().startswith("//! ")]

    assert bare == []


def test_every_python_module_opens_by_saying_what_it_owns() -> None:
    bare = [name_of(f) for f in tracked(".py") if not ast.get_docstring(ast.parse(f.read_text()))]

    assert bare == []


@pytest.mark.parametrize("suffixes", [(".rs",), (".py", ".pyi"), (".md",), (".toml",)])
def test_nothing_was_left_behind(suffixes: tuple[str, ...]) -> None:
    found = [
        f"{name_of(file)}:{number}: {line.strip()}"
        for file in tracked(*suffixes)
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if LEFTOVERS.search(line)
    ]

    assert found == []


def test_the_engine_does_not_know_python() -> None:
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    needs: dict[str, set[str]] = {}
    for package in lock["package"]:
        names = {entry.split(" ")[0] for entry in package.get("dependencies", [])}
        needs.setdefault(package["name"], set()).update(names)

    reached: set[str] = set()
    waiting = {"taquba-engine"}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= needs[name] - reached

    assert "slatedb" in reached
    assert [name for name in sorted(reached) if name.startswith("pyo3")] == []


def calls_and_imports(file: Path) -> set[str]:
    """Names of the modules that a file imports, and of the functions it calls by bare name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            found.add(f"{node.func.id}()")
    return found


def test_the_package_never_runs_data_as_code() -> None:
    unsafe = UNSAFE_LOADERS | {f"{name}()" for name in UNSAFE_CALLS}

    found = {
        name_of(file): sorted(calls_and_imports(file) & unsafe)
        for file in tracked(".py")
        if file.is_relative_to(ROOT / "python")
    }

    assert found != {}
    assert {name: hits for name, hits in found.items() if hits} == {}


def test_the_readme_names_the_versions_that_are_needed() -> None:
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    rust = cargo["workspace"]["package"]["rust-version"]
    python = project["project"]["requires-python"].removeprefix(">=")

    readme = " ".join((ROOT / "README.md").read_text().split())

    assert f"Rust toolchain ({rust} or newer) and Python {python} or newer" in readme


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{name_of(document)}: {target}"
        for document in tracked(".md")
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text())
        if not (document.parent / target).exists()
    ]

    assert broken == []
