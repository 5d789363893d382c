"""Who selects whom: pods by label and selectors by label, so that no event makes a controller look at the world."""

from __future__ import annotations

from collections.abc import Iterator

from remediator.sandbox.controllers.objects import Key, key_of, labels_of
from remediator.sandbox.history import Change
from remediator.sandbox.resources import PODS, Json
from remediator.sandbox.selectors import match_label_selector
from remediator.sandbox.store import Store

_Pair = tuple[str, str, str]  # namespace, label, value


class PodIndex:
    """The names of pods by namespace and label."""

    def __init__(self, store: Store) -> None:
        """Answer with the pods of `store`; those that are there already are taken in."""
        self._store = store
        self._names: dict[_Pair, dict[str, None]] = {}
        for pod in store.list(PODS):
            self._put(pod)

    def note(self, change: Change) -> None:
        """Follow one change of a pod."""
        if change.previous is not None and change.kind != "ADDED":
            if change.kind == "MODIFIED" and labels_of(change.previous) == labels_of(change.object):
                return
            self._take(change.previous)
        if change.kind != "DELETED":
            self._put(change.object)

    def selected(self, namespace: str, selector: Json) -> list[Json]:
        """Return the pods of a namespace that a LabelSelector selects, by name; an empty selector selects all."""
        pairs = (selector.get("matchLabels") or {}).items()
        sets: list[dict[str, None]] = [self._names.get((namespace, label, value), {}) for label, value in pairs]
        if not sets:
            found = self._store.list(PODS, namespace)
        else:
            names = sorted(min((len(found), number, found) for number, found in enumerate(sets))[2])
            found = [pod for pod in (self._store.find(PODS, namespace, name) for name in names) if pod is not None]
        return [pod for pod in found if match_label_selector(selector, labels_of(pod))]

    def _put(self, pod: Json) -> None:
        namespace, name = key_of(pod)
        for label, value in labels_of(pod).items():
            self._names.setdefault((namespace, label, value), {})[name] = None

    def _take(self, pod: Json) -> None:
        namespace, name = key_of(pod)
        for label, value in labels_of(pod).items():
            names = self._names.get((namespace, label, value), {})
            names.pop(name, None)
            if not names:
                self._names.pop((namespace, label, value), None)


class SelectorIndex:
    """The objects of one kind that select pods (Services, budgets), found by a pod's labels."""

    def __init__(self) -> None:
        """Start empty."""
        self._by_pair: dict[_Pair, dict[Key, None]] = {}
        self._others: dict[str, dict[Key, None]] = {}
        self._selectors: dict[Key, Json] = {}

    def put(self, key: Key, selector: Json | None) -> None:
        """Take in (or change, or with None drop) the selector of one object."""
        old = self._selectors.pop(key, None)
        if old is not None:
            self._home(key, old).pop(key, None)
        if selector is not None:
            self._selectors[key] = selector
            self._home(key, selector)[key] = None

    def selecting(self, pod: Json) -> Iterator[Key]:
        """Yield the objects that select this pod, as it is labelled."""
        namespace, labels = key_of(pod)[0], labels_of(pod)
        homes = [self._by_pair.get((namespace, label, value), {}) for label, value in labels.items()]
        for home in (*homes, self._others.get(namespace, {})):
            for key in tuple(home):
                if match_label_selector(self._selectors[key], labels):
                    yield key

    def _home(self, key: Key, selector: Json) -> dict[Key, None]:
        pairs = sorted((selector.get("matchLabels") or {}).items())
        if not pairs:
            return self._others.setdefault(key[0], {})
        return self._by_pair.setdefault((key[0], *pairs[0]), {})
