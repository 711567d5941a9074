"""The base of all that is a few named fields and never changes.

It does what a frozen dataclass does. A helper starts anew for every job, and half the
time that it took to start went into making the code of 40 dataclasses: they, and
``inspect``, which they need, cost 60 of 110 ms. So does not ``typing``, which brings
``re`` along: here, as in all that a helper loads, it is for checkers only, who hold any
``TYPE_CHECKING`` for true.
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


@dataclass_transform(frozen_default=True)
class Value:
    """Named fields: a subclass says them by annotations, with or without a default."""

    _names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Note the names of the fields, in order; those of the base come first."""
        cls._names = tuple(dict.fromkeys((*cls._names, *cls.__annotations__)))
        setattr(cls, "__match_args__", cls._names)  # noqa: B010 - checkers make their own

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the fields, in order."""
        return cls._names

    def __init__(self, *values: object, **named: object) -> None:
        """Take the fields, in order or by name.

        Raises:
            TypeError: One is missing, given twice, or none of ours.
        """
        if named or len(values) != len(self._names):
            values = self._completed(values, named)
        self.__dict__.update(zip(self._names, values, strict=True))

    def replace(self, **changes: object) -> Self:
        """Return one with some fields changed.

        Raises:
            TypeError: One is none of ours.
        """
        return type(self)(**{**vars(self), **changes})

    def _completed(
        self, values: tuple[object, ...], named: dict[str, object]
    ) -> tuple[object, ...]:
        names = self._names
        if len(values) > len(names):
            raise self._misfit(f"has {len(names)} fields, not {len(values)}")
        fields = dict(zip(names, values, strict=False))
        if twice := fields.keys() & named.keys():
            raise self._misfit(f"is given {min(twice)} twice")
        if unknown := named.keys() - set(names):
            raise self._misfit(f"has no field {min(unknown)}")
        fields |= named
        return tuple(self._chosen(fields, name) for name in names)

    def _chosen(self, fields: dict[str, object], name: str) -> object:
        if name in fields:
            return fields[name]
        try:
            return getattr(type(self), name)  # its default
        except AttributeError:
            raise self._misfit(f"needs {name}") from None

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
