"""Fixtures of the tests of migrations."""

from tests.support.arriving import before, image, kind

__all__ = ["before", "image", "kind"]
