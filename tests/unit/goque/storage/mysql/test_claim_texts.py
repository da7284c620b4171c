"""The claims of MySQL and MariaDB, which are made from one text."""

from __future__ import annotations

import re

from goque.storage.mysql.claim_past import CLAIM_PAST
from goque.storage.mysql.limits import CLAIM
from goque.storage.mysql.statements import CLAIM_DUE

NO_KEY = " limit_key = coalesce(limit_key, ''),"


def test_all_claims_change_a_task_alike_and_only_those_by_limits_its_key() -> None:
    assert NO_KEY in CLAIM.change
    assert CLAIM.change.replace(NO_KEY, "") == CLAIM_DUE.change
    assert CLAIM_PAST.change.replace(":keys", ":ids") == CLAIM_DUE.change
    assert CLAIM.changed == CLAIM_DUE.changed


def test_all_claims_read_the_same_columns() -> None:
    by_limits, plain = (claim.lock.partition("FROM")[0] for claim in (CLAIM, CLAIM_DUE))
    assert by_limits.replace("coalesce(limit_key, '')", "limit_key") == plain


def test_no_place_of_the_text_is_left_open() -> None:
    for claim in (CLAIM, CLAIM_DUE, CLAIM_PAST):
        assert not re.search(r"<[a-z ]+>", claim.lock + claim.change + str(claim.changed))
