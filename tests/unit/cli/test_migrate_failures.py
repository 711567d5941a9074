"""What failed before a migration could begin names its guest, and where that is."""

from types import SimpleNamespace
from typing import Any

from libxlpy import BackendError, DomainBusy, LibxlpyError
from libxlpy.cli.migrate import Migrate


def refusal_of(error: LibxlpyError) -> str:
    migrate: Any = SimpleNamespace(_options=SimpleNamespace(json=False))
    domain: Any = SimpleNamespace(name="web", domid=4)
    return str(Migrate._refusal(migrate, domain, error))


def test_hypervisor_that_does_not_answer():
    told = refusal_of(BackendError("INFO of domain 4: no answer in 10 s; try again"))
    assert told.startswith("migration of 'web' (domid 4) failed: INFO of domain 4: ")
    assert told.endswith("; guest was not touched")


def test_domain_that_is_busy_names_itself():
    error = DomainBusy(4, "a save", "save-4-1", 7)
    assert refusal_of(error) == str(error)
