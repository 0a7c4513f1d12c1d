"""Find in the source code whatever takes effect at once, and whether it has crash points before and after it.

What takes effect at once is a transaction, a write outside of transactions, a message to the broker, or a write to the log store. A write in a
function is covered if the function makes it inside a block with crash points, or if everybody who calls the function does.

Messages that Celery itself sends are not found: the retry of a stage, and the next task of a chain. Each lies between two crash points: after a
retry the lease is extended, and the next task is sent after the stage's last commit.
"""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

WRITES = {"save", "create", "delete", "bulk_create", "bulk_update", "get_or_create", "update_or_create", "bulk_upsert"}
MESSAGES = {"apply_async", "delay", "send_task"}
BLOCKS = {"commit", "crash_points", "guarded_transaction"}

Function = tuple[str, str]  # the module and the name of a function or method; the name is "" for what a module does when it is imported


@dataclass
class Found:
    """`names`: what has crash points. `uncovered`: by function, what it does outside of the blocks. `calls`: by function, who mentions it outside.

    `tasks`: what Celery calls, wherever it is mentioned.
    """

    names: list[str] = field(default_factory=list)
    uncovered: dict[Function, list[str]] = field(default_factory=lambda: defaultdict(list))
    calls: dict[Function, set[Function]] = field(default_factory=lambda: defaultdict(set))
    mentioned: set[Function] = field(default_factory=set)
    tasks: set[Function] = field(default_factory=set)


def names_and_gaps(sources: Mapping[str, str], *, callers: Mapping[str, ast.Module], only_ask: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """Return the names of what has crash points, and a line for each effect that has none.

    `sources`: by the name of the module, its text. `callers`: the modules that use these without being read themselves. `only_ask`: functions
    whose messages change nothing, because they only ask a worker something.
    """
    found = Found()
    trees = {module: ast.parse(text) for module, text in sources.items()}
    functions = {module: _functions(tree) for module, tree in trees.items()}
    for module, tree in trees.items():
        _Reader(module, tree, functions, found).read()
    for module, tree in callers.items():
        _Reader(module, tree, functions, found).read_mentions()
    for function in list(found.uncovered):
        if function[1] in only_ask:
            del found.uncovered[function]
    return sorted(found.names), sorted(_gaps(found))


def _gaps(found: Found) -> Iterator[str]:
    """Yield each effect that somebody reaches who has no crash points around the call."""
    for function, effects in found.uncovered.items():
        todo, seen = [function], {function}
        while todo:
            current = todo.pop()
            if current[1] == "" or current in found.tasks or current not in found.mentioned:
                yield f"{function[0]}.{function[1]}: {', '.join(effects)}" + (
                    f" (as called by {current[0]}.{current[1]})" if current != function else ""
                )
            more = found.calls[current] - seen
            seen |= more
            todo += more


def _functions(tree: ast.Module) -> set[str]:
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    return {node.name for body in bodies for node in body if isinstance(node, ast.FunctionDef)}


class _Reader:
    def __init__(self, module: str, tree: ast.Module, functions: Mapping[str, set[str]], found: Found) -> None:
        self._module, self._tree, self._functions, self._found = module, tree, functions, found
        self._modules: dict[str, str] = {}  # the modules by the names under which they are imported
        self._names: dict[str, Function] = {name: (module, name) for name in functions.get(module, ())}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    name = alias.asname or alias.name
                    if f"{node.module}.{alias.name}" in functions:
                        self._modules[name] = f"{node.module}.{alias.name}"
                    elif alias.name in functions.get(node.module, ()):
                        self._names[name] = (node.module, alias.name)

    def read(self) -> None:
        for node in self._tree.body:
            members = node.body if isinstance(node, ast.ClassDef) else [node]
            for member in members:
                owner = member.name if isinstance(member, ast.FunctionDef) else ""
                self._visit(member, (self._module, owner), is_covered=False)

    def read_mentions(self) -> None:
        for node in ast.walk(self._tree):
            if target := self._function(node):
                self._found.mentioned.add(target)
                self._found.calls[target].add((self._module, ""))

    def _visit(self, node: ast.AST, owner: Function, *, is_covered: bool) -> None:
        names = [name for item in node.items if (name := _block_name(item.context_expr))] if isinstance(node, ast.With) else []
        if isinstance(node, ast.With) and (names or owner[1] in BLOCKS):  # the caller of `guarded_transaction` gives the name
            self._found.names += names
            for statement in node.body:
                self._visit(statement, owner, is_covered=True)
            return
        if isinstance(node, ast.FunctionDef) and node.name != owner[1]:
            is_covered = False  # a nested function may be called later
        if isinstance(node, ast.FunctionDef) and {"shared_task", "connect"} & {_name(_called(decorator)) for decorator in node.decorator_list}:
            self._found.tasks.add(owner)
        if isinstance(node, ast.Call) and _name(node.func) == "on_commit":
            is_covered = False
        if isinstance(node, ast.Call) and _name(node.func) == "write_each":
            self._read_log_store(owner)
        if (effect := _effect(node)) and not is_covered:
            self._found.uncovered[owner].append(f"{effect} in line {node.lineno}")  # type: ignore[attr-defined]
        if target := self._function(node):
            self._found.mentioned.add(target)
            if not is_covered and target != owner:
                self._found.calls[target].add(owner)
        for child in ast.iter_child_nodes(node):
            self._visit(child, owner, is_covered=is_covered)

    def _read_log_store(self, owner: Function) -> None:
        """The pages are written while others are being read, so the crash points are not a block."""
        [function] = [node for node in ast.walk(self._tree) if isinstance(node, ast.FunctionDef) and node.name == owner[1]]
        points = {node.args[0].value for node in ast.walk(function) if isinstance(node, ast.Call) and _name(node.func) == "crash_point"}  # type: ignore[attr-defined]
        names = {str(point).rpartition(".")[0] for point in points}
        if len(names) == 1 and points == {f"{name}.{place}" for name in names for place in ("before", "after")}:
            self._found.names += names
        else:
            self._found.uncovered[owner].append("write_each")

    def _function(self, node: ast.AST) -> Function | None:
        """Return the function that the node mentions, if it is one of the modules that are read."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (module := self._modules.get(node.value.id)) and node.attr in self._functions[module]:
                return module, node.attr
            if node.value.id == "self" and node.attr in self._functions.get(self._module, ()):
                return self._module, node.attr
        return None


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _called(node: ast.AST) -> ast.AST:
    return node.func if isinstance(node, ast.Call) else node


def _block_name(node: ast.AST) -> str:
    """Return the name of a block with crash points. It must be written out, so that the test finds it."""
    if isinstance(node, ast.Call) and _name(node.func) in BLOCKS:
        name = node.args[-1]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return name.value
    return ""


def _effect(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute) and node.attr in {"atomic", *MESSAGES}:
        return node.attr
    if not isinstance(node, ast.Call):
        return ""
    name = _name(node.func)
    # A dictionary's `update` has an argument without a name, that of a queryset never has.
    if name in WRITES or (name == "update" and node.keywords and not node.args):
        return name
    is_log_store = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Call) and _name(node.func.value.func) == "open_log_store"
    return "write" if is_log_store and name == "write" else ""
