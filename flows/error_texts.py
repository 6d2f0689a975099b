"""What the errors of the sources say: every text that an exception is made with, read out of the code.

A text stands where the error is made, or a helper returns it, a caller hands it over, a list of lines holds it. What a
run puts in is written in capitals. Where such a value is a text of ours, that is a part: it stands for itself.
"""

from __future__ import annotations

import ast
import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("voxdata", "models", "flows")
HERE = Path(__file__).parents[1]
BASE = "VoxdataError"
INNER = ("AssertionError", "KeyboardInterrupt", "StopIteration", "NotImplementedError")  # nobody reads these
THROUGH = ("brief", "quoted", "printable", "several", "str", "repr", "in_one_line", "sorted", "list", "map", "dict")
MOST = 24  # texts of one value: where there are more, its name stands for them
DEEP = 6  # helpers that call helpers
# Attributes that hold names and texts of pages, never what is wrong.
PLAIN = re.compile(
    "about|column|command|help|id|identity|key|label|licence|name|note|notice|path|refused|said|setting|source|sql|stops|"
    "table|title|url|what"
)
CODE = re.compile(r"%[sd]|\|\||\b(SELECT|CASE|WITH|FROM)\b|</|\n")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Kind:
    """A class of the exception tree: its docstring's first paragraph, and the status that a command exits with."""

    name: str
    about: str
    exit_code: int


@dataclass(frozen=True, eq=False)
class Scope:
    """Where an expression stands: its module, and the functions around it, the innermost first."""

    module: ast.Module
    functions: tuple[Function, ...] = ()


@dataclass
class Texts:
    """The sources, parsed, with what is needed to follow a text through them."""

    modules: dict[ast.Module, str] = field(default_factory=dict)  # each with its name
    _from: dict[tuple[ast.Module, str], str] = field(default_factory=dict)  # what is imported from where
    kinds: dict[str, Kind] = field(default_factory=dict)
    _calls: list[tuple[ast.Call, Scope]] = field(default_factory=list)
    _called: defaultdict[str, list[tuple[ast.Call, Scope]]] = field(default_factory=lambda: defaultdict(list))
    _functions: defaultdict[str, list[tuple[Function, Scope]]] = field(default_factory=lambda: defaultdict(list))
    _fields: defaultdict[str, list[tuple[ast.expr, Scope]]] = field(default_factory=lambda: defaultdict(list))
    _own: dict[str, tuple[ast.expr, Scope]] = field(default_factory=dict)  # classes that make their text themselves
    _raised: set[ast.expr] = field(default_factory=set)
    _parts: set[str] = field(default_factory=set)
    _known: dict[tuple[ast.expr, int], list[str]] = field(default_factory=dict)
    _names: dict[ast.AST, dict[str, list[ast.expr]]] = field(default_factory=dict)

    def messages(self) -> Iterator[tuple[str, str]]:
        """(class of the tree, text) of every error that is made."""
        for call, scope in self._calls:
            for text in self._said(call, scope) if _name(call) in self.kinds and _name(call) not in self._own else ():
                yield _name(call), text
        for name, (told, scope) in self._own.items():
            for text in self._of(told, scope, 0):
                yield name, text

    def parts(self) -> Iterator[str]:
        """The texts that messages have in the place of a value, and those of errors that another one tells."""
        for call, scope in self._calls:
            name = _name(call)
            if call in self._raised and name not in self.kinds and name.endswith("Error") and name not in INNER:
                yield from self._said(call, scope)
        for function, scope in self._functions["__str__"]:
            yield from self._of_function(function, scope, 0)
        list(self.messages())
        yield from self._parts

    def without(self) -> Iterator[tuple[str, int, str]]:
        """(class, line, source) of errors of the tree in which no text is found: they hand on what another one says."""
        for call, scope in self._calls:
            if _name(call) in self.kinds.keys() - self._own and _told(call) is not None and not self._said(call, scope):
                yield _name(call), call.lineno, ast.unparse(call)

    def _said(self, call: ast.Call, scope: Scope) -> list[str]:
        told = _told(call)
        return [] if told is None else [text for text in self._of(told, scope, 0) if is_text(text)]

    def _of(self, node: ast.expr, scope: Scope, depth: int) -> list[str]:
        """The texts that an expression can be; none where it is no text of ours."""
        if depth > DEEP:
            return []
        if (node, depth) not in self._known:
            self._known[node, depth] = self._read(node, scope, depth)
        return self._known[node, depth]

    def _read(self, node: ast.expr, scope: Scope, depth: int) -> list[str]:  # noqa: C901 (a line a kind)
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                return self._joined(parts, scope, depth)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _all(self._of(left, scope, depth), self._of(right, scope, depth))
            case ast.IfExp(body=body, orelse=other):
                return _one_of((self._of(body, scope, depth), self._of(other, scope, depth)))
            case ast.BoolOp(values=values):
                return _one_of(self._of(each, scope, depth) for each in values)
            case ast.ListComp(elt=each) | ast.GeneratorExp(elt=each) | ast.Starred(value=each):
                return self._of(each, scope, depth)
            case ast.List(elts=each) | ast.Tuple(elts=each):
                return _one_of(self._of(one, scope, depth) for one in each)
            case ast.Dict(values=each):
                return _one_of(self._of(one, scope, depth) for one in each)
            case ast.Subscript(value=value):
                return self._of(value, scope, depth)
            case ast.Name(id=name) if name.isupper():
                return self._constant(name, scope, depth + 1)
            case ast.Name(id=name):
                return self._named(name, scope, depth + 1)
            case ast.Attribute(attr=name):
                return self._held(name, depth + 1)
            case ast.Call():
                return self._returned(node, scope, depth + 1)
        return []

    def _joined(self, parts: Sequence[ast.expr], scope: Scope, depth: int) -> list[str]:
        own = "".join(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))
        found = [""]
        for part in parts:
            given = [str(part.value)] if isinstance(part, ast.Constant) else []
            if isinstance(part, ast.FormattedValue):
                single = self._of(part.value, scope, depth + 1) if _may_stand_whole(part.value, own) else []
                constant = isinstance(part.value, ast.Name) and part.value.id.isupper()
                whole = [text for text in single if is_text(text) or constant]
                given = whole if whole and (len(whole) == 1 or not is_text(own)) else [_put_in(part.value)]
                if given is not whole:
                    self._parts.update(self._of(part.value, scope, depth + 1))
            found = _all(found, given)
        return found

    def _named(self, name: str, scope: Scope, depth: int) -> list[str]:
        """What a name is given, in the functions around it or in its module; of a parameter, what callers give."""
        for at, function in enumerate(scope.functions):
            around = Scope(scope.module, scope.functions[at:])
            given = self._names_of(function).get(name)
            if given:
                return _one_of(self._of(each, around, depth) for each in given)
            if any(each.arg == name for each in _parameters(function)):
                return self._handed(name, function, scope.module, depth)
        return _one_of(self._of(each, scope, depth) for each in self._names_of(scope.module).get(name, ()))

    def _constant(self, name: str, scope: Scope, depth: int) -> list[str]:
        """The text of a constant: of this module, of the one it is imported from, or of the only one that has it."""
        given = self._names_of(scope.module).get(name)
        known = self._from.get((scope.module, name))
        there = [
            (value, Scope(module))
            for module, called in self.modules.items()
            for value in self._names_of(module).get(name, ())
            if known in (None, called)
        ]
        found = [(value, scope) for value in given] if given else there
        return self._of(found[0][0], found[0][1], depth) if len(found) == 1 else []

    def _names_of(self, node: Function | ast.Module) -> dict[str, list[ast.expr]]:
        if node not in self._names:
            self._names[node] = _given(node.body if isinstance(node, ast.Module) else ast.walk(node))
        return self._names[node]

    def _handed(self, name: str, function: Function, module: ast.Module, depth: int) -> list[str]:
        """The texts that callers hand over as a parameter."""
        names = [each.arg for each in _parameters(function)]
        place = names.index(name) - (names[0] in ("self", "cls"))
        called = self._called[_class_of(function) or function.name]
        if len(self._functions[function.name]) > 1 and not _class_of(function):  # others have the name, elsewhere
            called = [each for each in called if each[1].module is module]
        found: list[str] = []
        for call, scope in called:
            by_name = [each.value for each in call.keywords if each.arg == name]
            given = by_name or (call.args[place : place + 1] if place >= 0 else [])
            found += [text for value in given for text in self._of(value, scope, depth) if is_phrase(text)]
        return _one_of([found])

    def _held(self, name: str, depth: int) -> list[str]:
        """The texts that an attribute of this name is given, or that a property returns."""
        if PLAIN.fullmatch(name):
            return []
        held = _one_of(
            [t for t in self._of(value, scope, depth) if is_phrase(t)] for value, scope in self._fields[name]
        )
        properties = [each for each in self._functions[name] if each[0].decorator_list]
        return held or _one_of(self._of_function(function, scope, depth) for function, scope in properties)

    def _returned(self, call: ast.Call, scope: Scope, depth: int) -> list[str]:
        name = _name(call)
        if name == "join" and call.args:
            return self._of(call.args[0], scope, depth)
        if name in THROUGH and call.args:
            return self._of(call.args[-1], scope, depth)
        if isinstance(call.func, ast.Attribute) and name in ("strip", "rstrip", "removeprefix", "partition", "lower"):
            return self._of(call.func.value, scope, depth)
        found = self._functions[name]
        own = [each for each in found if each[1].module is scope.module]
        if not own:
            known = self._from.get((scope.module, name))
            own = [each for each in found if self.modules[each[1].module] == known or len(found) == 1]
        return _one_of(self._of_function(each, there, depth) for each, there in own)

    def _of_function(self, function: Function, scope: Scope, depth: int) -> list[str]:
        inside = Scope(scope.module, (function, *scope.functions))
        values = [n.value for n in ast.walk(function) if isinstance(n, ast.Return | ast.Yield) and n.value is not None]
        return _one_of(self._of(value, inside, depth) for value in values)


@functools.cache
def read_texts() -> Texts:
    """The texts of all packages."""
    found = Texts()
    for package in PACKAGES:
        for path in sorted((HERE / package).rglob("*.py")):
            name = ".".join(path.relative_to(HERE).with_suffix("").parts)
            found.modules[ast.parse(path.read_text(encoding="utf-8"))] = name
    found.kinds.update(_tree(found.modules))
    for tree in found.modules:
        _index(found, tree, Scope(tree), "")
    return found


def is_text(text: str) -> bool:
    """Whether somebody can look for it: it has a word that no run puts in."""
    return re.search(r"[a-z]{3}", text) is not None


def is_phrase(text: str) -> bool:
    """Whether it is a text that people read: words, and neither SQL, nor a page, nor a line of a log."""
    return (
        len(re.findall(r"[a-z]{2,}", text)) > 2
        and re.search(r"[a-z] [a-z]", text) is not None
        and not CODE.search(text)
    )


def _index(found: Texts, node: ast.AST, scope: Scope, owner: str) -> None:  # noqa: C901 (a line a kind)
    for child in ast.iter_child_nodes(node):
        within, holds = scope, owner
        if isinstance(child, ast.ClassDef):
            holds = child.name
        elif isinstance(child, Function):
            found._functions[child.name].append((child, scope))
            child.type_comment = owner  # the class of a method: callers of `__init__` call it
            within, holds = Scope(scope.module, (child, *scope.functions)), ""
        elif isinstance(child, ast.Call):
            found._calls.append((child, scope))
            found._called[_name(child)].append((child, scope))
            own = (scope.functions[0].type_comment or "") if scope.functions else ""
            makes = ast.unparse(child.func) == "super().__init__" and child.args[:1]
            if makes and own in found.kinds and isinstance(makes[0], ast.JoinedStr):
                found._own[own] = (makes[0], scope)
            for each in child.keywords:
                if each.arg is not None:
                    found._fields[each.arg].append((each.value, scope))
        elif isinstance(child, ast.ImportFrom) and child.module:
            found._from |= {(scope.module, alias.name): child.module for alias in child.names}
        elif isinstance(child, ast.Raise) and child.exc is not None:
            found._raised.add(child.exc)
        elif isinstance(child, ast.Assign):
            for target in child.targets:
                pairs = [(target, child.value)]
                if isinstance(target, ast.Tuple) and isinstance(child.value, ast.Tuple):
                    pairs = list(zip(target.elts, child.value.elts, strict=False))
                for to, value in pairs:
                    if isinstance(to, ast.Attribute):
                        found._fields[to.attr].append((value, scope))
        _index(found, child, within, holds)


def _tree(modules: Iterable[ast.Module]) -> dict[str, Kind]:
    """The exception tree, from the base down."""
    classes = {node.name: node for module in modules for node in module.body if isinstance(node, ast.ClassDef)}
    kinds: dict[str, Kind] = {}
    while True:
        new = {
            name: Kind(
                name,
                _about(node),
                _status(node, max((kinds[b].exit_code for b in _bases(node) & set(kinds)), default=1)),
            )
            for name, node in classes.items()
            if name not in kinds and (name == BASE or _bases(node) & set(kinds))
        }
        if not new:
            return kinds
        kinds |= new


def _bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def _about(node: ast.ClassDef) -> str:
    return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())


def _status(node: ast.ClassDef, inherited: int) -> int:
    stated = [n.value for n in node.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "exit_code"]
    return int(ast.literal_eval(stated[0])) if stated else inherited


def _name(call: ast.Call) -> str:
    """The last name of what is called; that of the base for `type(error)(…)`."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=ast.Name(id="type")):
            return BASE
    return ""


def _told(call: ast.Call) -> ast.expr | None:
    """What an exception is made with."""
    if call.args:
        return call.args[0]
    return next((each.value for each in call.keywords if each.arg in ("msg", "message", "said", "text")), None)


def _given(nodes: Iterable[ast.AST]) -> dict[str, list[ast.expr]]:
    """Name -> what it is assigned, what is added to it, and what it runs through."""
    found: defaultdict[str, list[ast.expr]] = defaultdict(list)
    for node in nodes:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    match target:
                        case ast.Name(id=name):
                            found[name].append(value)
                        case ast.Tuple(elts=names):
                            each = value.elts if isinstance(value, ast.Tuple) else [value] * len(names)
                            for part, one in zip(names, each, strict=False):
                                found[ast.unparse(part)].append(one)
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                | ast.AugAssign(target=ast.Name(id=name), value=value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
                | ast.For(target=ast.Name(id=name), iter=value)
                | ast.comprehension(target=ast.Name(id=name), iter=value)
                | ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="append" | "extend" | "insert"), args=[*_, value]
                )
            ):
                found[name].append(value)
    return found


def _parameters(function: Function) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _class_of(function: Function) -> str:
    return (function.type_comment or "") if function.name == "__init__" else ""


def _may_stand_whole(value: ast.expr, own: str) -> bool:
    """Whether a value's own text may stand in its place: a name does, and all do where nothing else tells."""
    return isinstance(value, ast.Name) or not is_text(own)


def _put_in(node: ast.expr) -> str:
    """What stands for a value: the name that the code has for it."""
    match node:
        case ast.Name(id=name):
            return name.strip("_").upper()
        case ast.Attribute(attr="url"):
            return "ROOT"
        case ast.Attribute(attr=name):
            return name.strip("_").upper()
        case ast.Call(args=[_, *_] as given) if _name(node) in ("join", *THROUGH):
            return _put_in(given[0])
        case ast.Call(args=[_, _, ast.Constant(value=str(many))]) if _name(node) == "counted":
            return f"COUNT {many}"
    return "…"


def _all(first: Sequence[str], then: Sequence[str]) -> list[str]:
    """Every text of the first with every one of the second behind it; as many as may be."""
    return [before + after for before, after in itertools.product(first, then or [""])][:MOST]


def _one_of(found: Iterable[Sequence[str]]) -> list[str]:
    """The texts of all, each once."""
    return list(dict.fromkeys(itertools.chain.from_iterable(found)))[: 4 * MOST]
