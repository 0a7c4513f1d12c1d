"""The points that a GraphQL query costs, by GitHub's published formula.

https://docs.github.com/en/graphql/overview/rate-limits-and-node-limits-for-the-graphql-api
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    value_from_ast_untyped,
)

MOST_NODES = 500_000


@dataclass(frozen=True, slots=True)
class Price:
    points: int
    nodes: int


def price(document: DocumentNode, variables: Mapping[str, Any]) -> Price:
    """Return what a query costs. Each connection counts as one request for each node that may contain it.

    A hundred requests cost one point, and each query costs at least one.
    """
    operation = next(node for node in document.definitions if isinstance(node, OperationDefinitionNode))
    defaults = {
        one.variable.name.value: value_from_ast_untyped(one.default_value) for one in operation.variable_definitions or () if one.default_value
    }
    count = _Count(document, {**defaults, **variables})
    count.add([operation.selection_set], parents=1)
    return Price(points=max(1, int(count.requests / 100 + 0.5)), nodes=count.nodes)


class _Count:
    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self.variables = variables
        self.fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        self.requests = self.nodes = 0

    def add(self, selections: Sequence[SelectionSetNode], *, parents: int) -> None:
        merged: dict[str, list[FieldNode]] = {}  # by name, because a field that two fragments select counts only once
        for selection_set in selections:
            for field in self._fields(selection_set):
                merged.setdefault(field.alias.value if field.alias else field.name.value, []).append(field)
        for fields in merged.values():
            below = parents
            for argument in fields[0].arguments or ():
                if argument.name.value in {"first", "last"} and (size := self._value(argument.value)) is not None:
                    self.requests += parents
                    below = parents * size
                    self.nodes += below
                elif argument.name.value == "ids":  # Query.nodes costs nothing itself, but its subfields are requested once for each id
                    below = parents * len(self._value(argument.value))
            self.add([field.selection_set for field in fields if field.selection_set], parents=below)

    def _fields(self, selection_set: SelectionSetNode) -> Iterator[FieldNode]:
        for node in selection_set.selections:
            if not self._is_included(node.directives or ()):
                continue
            match node:
                case FieldNode():
                    yield node
                case InlineFragmentNode():
                    yield from self._fields(node.selection_set)
                case FragmentSpreadNode():
                    yield from self._fields(self.fragments[node.name.value].selection_set)

    def _is_included(self, directives: Sequence[DirectiveNode]) -> bool:
        wanted = {"include": True, "skip": False}
        return all(
            bool(self._value(argument.value)) == wanted[directive.name.value]
            for directive in directives
            if directive.name.value in wanted
            for argument in directive.arguments or ()
        )

    def _value(self, node: ValueNode) -> Any:
        return value_from_ast_untyped(node, dict(self.variables))
