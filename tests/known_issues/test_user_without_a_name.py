"""A user number without a name, as containers have, broke off the command that opens the test session."""

import getpass
import os

from harness.provenance import user_name


def test_a_user_without_a_name_is_told_by_the_number(monkeypatch):
    def fail():
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", fail)
    assert user_name() == str(os.getuid())
