"""The base of all that is a few named fields and never changes.

It does what a frozen dataclass does. A helper starts anew for every job, and half the
time that it took to start went into making the code of 40 dataclasses: they, and
``inspect``, which they need, cost 60 of 110 ms. ``xlpy save`` had made 69 of them. So
does not ``typing``, which brings ``re`` along: here, as in all that a helper loads, it
is for checkers only, who hold any ``TYPE_CHECKING`` for true.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Never, Self, dataclass_transform
else:

    def dataclass_transform(**_):
        """Do nothing: it is for checkers."""
        return lambda kind: kind


__all__ = ["Value"]

_put = object.__setattr__


@dataclass_transform(frozen_default=True)
class Value:
    """Named fields: a subclass says them by annotations, with or without a default.

    They are given in order or by name; with ``kw_only=True`` behind the base by name
    alone. A default must not change, as all share it, but for ``{}``: that is a new one
    each time. A ClassVar is no field. An annotation that only checkers know is quoted.
    """

    _names: ClassVar[tuple[str, ...]] = ()
    #: How many may be given in order: all, or none.
    _ordered: ClassVar[int] = 0
    _defaults: ClassVar[dict[str, object]] = {}
    #: Those whose default is a new {}.
    _fresh: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, kw_only: bool = False) -> None:
        """Note the fields, in order; those of the base come first."""
        own = [name for name, hint in cls.__annotations__.items() if _is_field(hint)]
        names = tuple(dict.fromkeys((*cls._names, *own)))
        given = vars(cls)
        cls._names = names
        cls._ordered = 0 if kw_only else len(names)
        cls._defaults = cls._defaults | {n: given[n] for n in own if n in given}
        cls._fresh = tuple(n for n, each in cls._defaults.items() if each == {})
        matched = names[: cls._ordered]
        setattr(cls, "__match_args__", matched)  # noqa: B010 - checkers make their own

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the fields, in order."""
        return cls._names

    def __init__(self, *values: object, **named: object) -> None:
        """Take the fields, in order or by name.

        Raises:
            TypeError: One is missing, given twice, or none of ours.
        """
        if named or not values or len(values) != self._ordered:
            values = self._completed(values, named)
        for name, value in zip(self._names, values, strict=True):
            _put(self, name, value)  # one by one: CPython reads such attributes faster
        self.__post_init__()

    def __post_init__(self) -> None:
        """Look at the fields, in a subclass that refuses some."""

    def replace(self, **changes: object) -> Self:
        """Return one with some fields changed.

        Raises:
            TypeError: One is none of ours.
        """
        return type(self)(**{**vars(self), **changes})

    __replace__ = replace  # what copy.replace() calls

    def _completed(
        self, values: tuple[object, ...], named: dict[str, object]
    ) -> tuple[object, ...]:
        """Put what is given by name, and defaults, behind what is given in order."""
        names, count = self._names, len(values)
        if count > self._ordered:
            raise self._misfit(f"has {self._ordered} fields in order, not {count}")
        fields = self._defaults | {name: {} for name in self._fresh} | named
        if values:
            if twice := named.keys() & names[:count]:
                raise self._misfit(f"is given {min(twice)} twice")
            fields.update(zip(names, values, strict=False))
        try:
            whole = tuple(map(fields.__getitem__, names))
        except KeyError as exc:
            raise self._misfit(f"needs {exc.args[0]}") from None
        if len(fields) != len(names):
            raise self._misfit(f"has no field {min(fields.keys() - set(names))}")
        return whole

    def _misfit(self, why: str) -> TypeError:
        return TypeError(f"{type(self).__name__} {why}")

    def __setattr__(self, name: str, value: object) -> Never:
        """Refuse."""
        raise AttributeError(f"{type(self).__name__}.{name} never changes")

    def __delattr__(self, name: str) -> Never:
        """Refuse."""
        raise AttributeError(f"{type(self).__name__}.{name} stays")

    def __eq__(self, other: object) -> bool:
        """Compare with one of the same type, field by field."""
        if type(other) is not type(self):
            return NotImplemented
        return vars(self) == vars(other)

    def __hash__(self) -> int:
        """Hash the type and all fields."""
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        """Show the call that makes it."""
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__qualname__}({fields})"


def _is_field(hint: object) -> bool:
    return "ClassVar" not in (hint if isinstance(hint, str) else repr(hint))
