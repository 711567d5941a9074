"""Which callbacks libxenguest is told that there are."""

from libxlpy.callbacks import NAMES, SaveCallbacks, offered


def test_only_given_callbacks_are_offered():
    async def suspend() -> int:
        return 1

    kinds = offered(SaveCallbacks(suspend=suspend))
    assert [NAMES[kind] for kind in kinds] == ["suspend"]
