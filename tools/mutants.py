"""The mutants of a module: small mistakes that its tests have to notice.

The mutators are mutmut's, without the two that only change the case of a string, and a few more of
the kinds that reviewers make: a condition dropped, neighbours swapped, a call left out. Words for
people are not changed: messages and hints of errors, log lines. Nor are annotations, decorators and
imports.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import (
    mutation_operators,
    operator_arg_removal,
    operator_assignment,
    operator_string,
)

SWAPS = {
    "any": "all",
    "all": "any",
    "min": "max",
    "max": "min",
    "floor": "ceil",
    "ceil": "floor",
    "sorted": "list",
    "ROUND_FLOOR": "ROUND_CEILING",
    "ROUND_HALF_UP": "ROUND_FLOOR",
}
TRUE, FALSE = cst.Name("True"), cst.Name("False")


@dataclass(frozen=True)
class Mutant:
    """One small change of a module. `before` and `after` are the lines that differ."""

    module: str
    function: str
    line: int
    ran: tuple[int, int]
    """First and last line of which a test has to run one to notice; (0, 0): no matter which."""
    in_body: bool
    """Whether the change is all within the body of the function."""
    before: str
    after: str
    _original: cst.CSTNode
    _mutated: cst.CSTNode
    _tree: cst.Module

    @property
    def key(self) -> str:
        """Names the mutant wherever its lines move to."""
        return f"{self.module} {self.function}: {self.before} -> {self.after}"

    def source(self) -> str:
        """The whole module with this change."""
        changed = self._tree.deep_replace(self._original, self._mutated)
        assert isinstance(changed, cst.Module)
        return changed.code


def mutants_of(module: str, path: Path, only: Collection[str] = ()) -> list[Mutant]:
    """All of a file, or of some of its functions and classes ("": of none), in its order; those that
    read the same are one."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text("utf-8")))
    visitor = _Visitor(module, wrapper.module, only)
    wrapper.visit(visitor)
    return list({(one.key, one.line): one for one in visitor.found}.values())


def _string(node: cst.BaseString) -> Iterator[cst.CSTNode]:
    """Only "XX": what a changed case tells, this tells too."""
    yield from list(operator_string(node))[:1]


def _argument(node: cst.Call) -> Iterator[cst.CSTNode]:
    """Each argument as mutmut does it: one given by its name, or the last, is left out; the others
    are None. (Leaving out another mostly makes a call that cannot be.)"""
    count = len(node.args)
    arguments = [arg for arg in node.args if not arg.star]
    for at, arg in enumerate(node.args):
        if arg not in arguments:
            continue
        rest = [*node.args[:at], *node.args[at + 1 :]]
        if arg.keyword or (at == count - 1 and count > 1):
            yield node.with_changes(args=rest)
        if not arg.keyword and not (isinstance(arg.value, cst.Name) and arg.value.value == "None"):
            none = arg.with_changes(value=cst.Name("None"))
            yield node.with_changes(args=[*node.args[:at], none, *node.args[at + 1 :]])


def _dropped_operand(node: cst.BooleanOperation) -> Iterator[cst.CSTNode]:
    yield node.left
    yield node.right


def _other_name(node: cst.Name) -> Iterator[cst.CSTNode]:
    if node.value in SWAPS:
        yield node.with_changes(value=SWAPS[node.value])


def _swapped_arguments(node: cst.Call) -> Iterator[cst.CSTNode]:
    args = list(node.args)
    if _dotted(node.func) in {"max", "min", "isinstance", "math.isclose", "select"}:
        return  # the same (columns of a row are read by name), or nonsense
    for at in range(len(args) - 1):
        one, two = args[at], args[at + 1]
        if one.keyword or two.keyword or one.star or two.star:
            continue
        swapped = [one.with_changes(value=two.value), two.with_changes(value=one.value)]
        yield node.with_changes(args=[*args[:at], *swapped, *args[at + 2 :]])


def _left_out(node: cst.SimpleStatementLine) -> Iterator[cst.CSTNode]:
    """A call whose value nobody takes, or a raise, is not made."""
    for at, small in enumerate(node.body):
        call = isinstance(small, cst.Expr) and isinstance(small.value, cst.Call | cst.Await)
        if call or isinstance(small, cst.Raise):
            yield node.with_changes(body=[*node.body[:at], cst.Pass(), *node.body[at + 1 :]])


def _never(node: cst.If) -> Iterator[cst.CSTNode]:
    yield node.with_changes(test=FALSE)


def _unfiltered(node: cst.CompIf) -> Iterator[cst.CSTNode]:
    yield node.with_changes(test=TRUE)


def _less(node: cst.Integer) -> Iterator[cst.CSTNode]:
    if node.evaluated_value > 1:
        yield node.with_changes(value=str(node.evaluated_value - 1))


OURS = (
    (cst.BaseString, _string),
    (cst.Call, _argument),
    (cst.BooleanOperation, _dropped_operand),
    (cst.Name, _other_name),
    (cst.Call, _swapped_arguments),
    (cst.SimpleStatementLine, _left_out),
    (cst.If, _never),
    (cst.CompIf, _unfiltered),
    (cst.Integer, _less),
)
NARROWED = {operator_string, operator_arg_removal}
OPERATORS = [pair for pair in mutation_operators if pair[1] not in NARROWED] + list(OURS)


class _Visitor(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, ParentNodeProvider)

    def __init__(self, module: str, tree: cst.Module, only: Collection[str]) -> None:
        super().__init__()
        self._module = module
        self._only = only
        self._tree = tree
        self._units: list[tuple[str, cst.CSTNode]] = []
        self._names: list[str] = []
        self.found: list[Mutant] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self._skipped(node):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._names.append(node.name.value)
        if isinstance(node, cst.FunctionDef | cst.SimpleStatementLine):
            self._units.append((".".join(self._names), node))
        if not self._wanted():
            return False
        for changed in self._changes(node):
            self._add(node, changed)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self._skipped(original_node):
            return
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self._names.pop()
        if isinstance(original_node, cst.FunctionDef | cst.SimpleStatementLine):
            self._units.pop()

    def _wanted(self) -> bool:
        """Whether what is visited now is, or holds, or is held by, one of those that are asked for."""
        if not self._only or (not self._names and not self._units):
            return True
        here = ".".join(self._names)
        return any(f"{one}.".startswith(f"{here}.") or f"{here}.".startswith(f"{one}.")
                   for one in self._only)  # fmt: skip

    def _skipped(self, node: cst.CSTNode) -> bool:
        """Nodes in which nothing is changed."""
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom):
            return True
        if isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString):
            return True  # a docstring
        if isinstance(node, cst.Call) and _dotted(node.func) == "log.event":
            return True
        parent = self.get_metadata(ParentNodeProvider, node, None)
        if isinstance(node, cst.Arg) and isinstance(parent, cst.Call):
            above = self.get_metadata(ParentNodeProvider, parent, None)
            words = node.keyword is None or node.keyword.value == "hint"
            return isinstance(above, cst.Raise) and words
        return False

    def _changes(self, node: cst.CSTNode) -> Iterable[cst.CSTNode]:
        parent = self.get_metadata(ParentNodeProvider, node, None)
        if isinstance(node, cst.Call) and isinstance(parent, cst.Raise):
            return
        inside = any(isinstance(unit, cst.FunctionDef) for _, unit in self._units)
        for kind, operator in OPERATORS:
            if not isinstance(node, kind):
                continue
            # At the level of the module or a class most of these are no mistake but nonsense.
            if not inside and operator in {operator_assignment, _argument, _left_out}:
                continue
            yield from operator(node)

    def _add(self, node: cst.CSTNode, changed: cst.CSTNode) -> None:
        if not self._units:
            return
        name, unit = self._units[0]
        # Names of methods and functions are those of the outermost one.
        old = self._tree.code_for_node(unit)
        mutated = changed if unit is node else unit.deep_replace(node, changed)
        assert isinstance(mutated, cst.CSTNode)
        new = self._tree.code_for_node(mutated)
        if new == old or not _compiles(new):
            return
        before, after = _difference(old, new)
        place = self.get_metadata(PositionProvider, node)
        ran = self._statement(node, place.end.line)
        whole = self.get_metadata(PositionProvider, unit)
        in_body = ran not in {(0, 0), (whole.start.line, whole.end.line)}
        line = place.start.line
        self.found.append(
            Mutant(self._module, name, line, ran, in_body, before, after, node, changed, self._tree)
        )

    def _statement(self, node: cst.CSTNode, last: int) -> tuple[int, int]:
        """The lines of the statement that holds the node; of a compound one, its head; of a
        function's head, the whole. (0, 0) outside of functions: that runs when it is imported."""
        if not isinstance(self._units[0][1], cst.FunctionDef):
            return 0, 0
        at: cst.CSTNode | None = node
        while at is not None:
            if isinstance(at, cst.SimpleStatementLine):
                place = self.get_metadata(PositionProvider, at)
                return place.start.line, place.end.line
            if isinstance(at, cst.BaseCompoundStatement):
                place = self.get_metadata(PositionProvider, at)
                if isinstance(at, cst.FunctionDef):
                    return place.start.line, place.end.line
                body = self.get_metadata(PositionProvider, at.body)
                return place.start.line, max(place.start.line, body.start.line - 1, last)
            at = self.get_metadata(ParentNodeProvider, at, None)
        return 0, 0


def _compiles(code: str) -> bool:
    import textwrap

    text = textwrap.dedent(code.strip("\n"))
    try:
        compile("def _():\n" + textwrap.indent(text, " ") + "\n", "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _difference(old: str, new: str) -> tuple[str, str]:
    before, after = [], []
    for line in difflib.ndiff(old.splitlines(), new.splitlines()):
        if line.startswith("- "):
            before.append(line[2:].strip())
        elif line.startswith("+ "):
            after.append(line[2:].strip())
    return " ⏎ ".join(before), " ⏎ ".join(after)


def _dotted(node: cst.CSTNode) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(node.value)}.{node.attr.value}"
    return node.value if isinstance(node, cst.Name) else ""
