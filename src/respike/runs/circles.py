"""Definitions that refer to one another, in the order in which they can be digested."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TypeVar

Node = TypeVar("Node")


def circles(
    nodes: Iterable[Node], successors: Callable[[Node], Iterable[Node]], done: Collection[Node]
) -> Iterator[list[Node]]:
    """Yield the strongly connected components that are not `done`, what they refer to first.

    R. Tarjan, SIAM J. Comput. 1 (1972) 146, without recursion.
    """
    index: dict = {}
    low: dict = {}
    stack: list = []
    on_stack: set = set()
    for start in nodes:
        if start in index or start in done:
            continue
        work = [(start, iter(successors(start)))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, rest = work[-1]
            for child in rest:
                if child in done and child not in on_stack:
                    continue
                if child not in index:
                    index[child] = low[child] = len(index)
                    stack.append(child)
                    on_stack.add(child)
                    work.append((child, iter(successors(child))))
                    break
                if child in on_stack:
                    low[node] = min(low[node], index[child])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    unit = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        unit.append(member)
                        if member == node:
                            break
                    yield unit
