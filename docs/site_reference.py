# ruff: noqa: INP001 - MkDocs loads it by its path
"""The reference pages of the site: what a module exports, with signatures and docstrings.

A hook of MkDocs; see `mkdocs.yml`. It reads the sources and imports nothing, so it needs no extra
and no compiled module. Always holds: each name of a module's `__all__` is on its page, or is named
there as one that another page has.
"""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGE = Path(__file__).resolve().parents[1] / "python"
# A name is on the first page that exports it, so `taquba` comes after those it exports from.
MODULES = (
    "taquba.exceptions",
    "taquba.options",
    "taquba.queue",
    "taquba.worker",
    "taquba.workflow",
    "taquba.memo",
    "taquba.store",
    "taquba",
    "taquba.webhooks",
    "taquba.progress",
    "taquba.admin",
    "taquba.doctor",
    "taquba.integrations.prometheus",
    "taquba.integrations.opentelemetry",
    "taquba.logs",
    "taquba.testing",
    "taquba.sync",
)
LINE_MAX = 90
SECTION = re.compile(r"(Args|Returns|Raises|Yields|Attributes|Example|Examples):")
# What a module says to those who change it.
INNER = re.compile(r"^(Invariants|Not here):\n(\n| .*\n?)*", re.MULTILINE)
ITEM = re.compile(r"(\*{0,2}\w+): +(.*)")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Found:
    """Where a name is defined."""

    module: str
    node: ast.ClassDef | Function | ast.Assign | ast.AnnAssign
    text: str | None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each module."""
    places: dict[tuple[str, int], str] = {}
    for module in MODULES:
        content = _page(module, places)
        files.append(File.generated(config, f"reference/{module}.md", content=content))
    return files


def _page(module: str, places: dict[tuple[str, int], str]) -> str:
    tree = _tree(module)
    told = INNER.sub("", ast.get_docstring(tree) or "").replace("::\n\n", "")
    parts = [f"# {module}", *_prose(told)]
    elsewhere: dict[str, list[str]] = {}
    for name in _exported(tree):
        found = _find(module, name)
        key = (found.module, found.node.lineno)
        home = places.setdefault(key, module)
        if home == module:
            parts += _entry(name, found)
        else:
            elsewhere.setdefault(home, []).append(name)
    for home, names in elsewhere.items():
        links = [f"[{name}]({home}.md#{name.lower()})" for name in names]
        parts += [f"## From {home}", ", ".join(links)]
    return "\n\n".join(parts)


@cache
def _tree(module: str) -> ast.Module:
    base = PACKAGE.joinpath(*module.split("."))
    for file in (base / "__init__.py", base.with_suffix(".py"), base.with_suffix(".pyi")):
        if file.is_file():
            return ast.parse(file.read_text(encoding="utf-8"))
    raise FileNotFoundError(module)


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [name for name in ast.literal_eval(node.value) if not name.startswith("__")]
    raise LookupError(ast.unparse(tree)[:LINE_MAX])


def _find(module: str, name: str) -> Found:
    body = _tree(module).body
    for index, node in enumerate(body):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if node.name == name:
                return Found(module, node, ast.get_docstring(node))
            case (
                ast.Assign(targets=[ast.Name(id=target)])
                | ast.AnnAssign(target=ast.Name(id=target))
            ) if target == name:
                return Found(module, node, _text_after(body, index))
            case ast.ImportFrom(module=source, names=names) if source is not None:
                for alias in names:
                    if (alias.asname or alias.name) == name:
                        return _find(source, alias.name)
    raise LookupError(name)


def _text_after(body: list[ast.stmt], index: int) -> str | None:
    match body[index + 1 : index + 2]:
        case [ast.Expr(value=ast.Constant(value=str(text)))]:
            return inspect.cleandoc(text)
    return None


def _entry(name: str, found: Found) -> Iterator[str]:
    yield f"## {name}"
    node = found.node
    if isinstance(node, ast.ClassDef):
        is_made_by_others = "Made by" in (found.text or "")
        whole = f"class {name}" if is_made_by_others else _class_signature(name, node, found.module)
        yield _block(whole)
        yield from _prose(found.text)
        yield from _members(name, node)
        for owner in _lineage(found.module, node):
            yield from _methods(name, owner)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        yield _block(ast.unparse(node))
        yield from _prose(found.text)
    else:
        yield _block(_signature(name, node))
        yield from _prose(found.text)


def _lineage(module: str, node: ast.ClassDef) -> Iterator[ast.ClassDef]:
    """The class, and those of ours that it is derived from."""
    yield node
    for base in node.bases:
        name = ast.unparse(base).split("[")[0]
        try:
            found = _find(module, name)
        except (LookupError, FileNotFoundError):
            continue  # a class of Python's
        if isinstance(found.node, ast.ClassDef):
            yield from _lineage(found.module, found.node)


def _class_signature(name: str, node: ast.ClassDef, module: str) -> str:
    decorators = {ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list}
    for owner in _lineage(module, node):
        for part in owner.body:
            is_maker = isinstance(part, ast.FunctionDef) and part.name in {"__init__", "__new__"}
            if is_maker and "dataclass" not in decorators:
                assert isinstance(part, ast.FunctionDef)  # noqa: S101 - as it says
                return _call(f"class {name}", _parameters(part.args, skip_first=True), "")
    if "dataclass" in decorators:
        fields = [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign)]
        keywords = "".join(map(ast.unparse, node.decorator_list))
        shown = ["*"] if "kw_only=True" in keywords else []
        return _call(f"class {name}", shown + [_without_factory(field) for field in fields], "")
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    return f"class {name}({bases})" if bases else f"class {name}"


def _without_factory(field: str) -> str:
    return re.sub(r"field\(default_factory=(\w+)\)", r"\1()", field)


def _members(name: str, node: ast.ClassDef) -> Iterator[str]:
    """The members of an enumeration, and the constants of a class, that have a text."""
    for index, part in enumerate(node.body):
        text = _text_after(node.body, index)
        if isinstance(part, ast.Assign | ast.AnnAssign) and text is not None:
            target = part.targets[0] if isinstance(part, ast.Assign) else part.target
            yield f"- `{name}.{ast.unparse(target)}`: {' '.join(text.split())}"


def _methods(name: str, node: ast.ClassDef) -> Iterator[str]:
    for part in node.body:
        if isinstance(part, Function) and not part.name.startswith("_"):
            decorators = [ast.unparse(decorator) for decorator in part.decorator_list]
            yield f"### {name}.{part.name}"
            if "property" in decorators:
                returns = "" if part.returns is None else f": {ast.unparse(part.returns)}"
                yield _block(f"{part.name}{returns}")
            else:
                is_static = "staticmethod" in decorators
                yield _block(_signature(part.name, part, skip_first=not is_static))
            yield from _prose(ast.get_docstring(part))


def _signature(name: str, node: Function, *, skip_first: bool = False) -> str:
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return _call(f"{kind} {name}", _parameters(node.args, skip_first=skip_first), returns)


def _parameters(args: ast.arguments, *, skip_first: bool) -> list[str]:
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    shown = [_parameter(arg, value) for arg, value in zip(positional, defaults, strict=True)]
    shown = shown[1:] if skip_first else shown
    if args.vararg is not None:
        shown.append(f"*{ast.unparse(args.vararg)}")
    elif args.kwonlyargs:
        shown.append("*")
    pairs = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    shown += [_parameter(arg, value) for arg, value in pairs]
    if args.kwarg is not None:
        shown.append(f"**{ast.unparse(args.kwarg)}")
    return shown


def _parameter(arg: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(arg) + ("" if default is None else f" = {ast.unparse(default)}")


def _call(head: str, parameters: list[str], returns: str) -> str:
    line = f"{head}({', '.join(parameters)}){returns}"
    if len(line) <= LINE_MAX:
        return line
    lines = "".join(f"    {parameter},\n" for parameter in parameters)
    return f"{head}(\n{lines}){returns}"


def _block(code: str) -> str:
    return f"```python\n{code}\n```"


def _prose(text: str | None) -> Iterator[str]:
    """A docstring as Markdown: sections become lists, examples and drawings blocks."""
    section = ""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text or "")):
        first, _, rest = paragraph.partition("\n")
        if not SECTION.fullmatch(first):
            section = section if paragraph.startswith(" ") else ""
            yield _section(section, paragraph)
            continue
        section = first.rstrip(":")
        if not section.startswith("Example"):
            yield f"**{section}**"
        yield _section(section, rest)


def _section(section: str, paragraph: str) -> str:
    body = inspect.cleandoc("\n" + paragraph)
    if section.startswith("Example") or (section == "" and paragraph.startswith(" ")):
        return _block(body)
    if section in {"Args", "Raises", "Attributes"}:
        lines = [
            ITEM.sub(r"- `\1`: \2", line) if not line.startswith(" ") else line.strip()
            for line in body.splitlines()
        ]
        return "\n".join(lines)
    return body
