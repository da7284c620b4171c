"""Passwords of URLs that an exception's message has."""

from __future__ import annotations

import pytest

from goque.telemetry.passwords import hide_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no route to redis://:s3cret@cache:6379/0", "no route to redis://:***@cache:6379/0"),
        ("amqp://bob:s3/c@ret@mq/shop, at once", "amqp://bob:***@mq/shop, at once"),
        ("https://s3cret@api.example/x", "https://***@api.example/x"),
        ("GET https://h/a?access_token=s3cret&page=1: 403", "GET https://h/a?access_token=***&page=1: 403"),
        ("host=db password=s3cret user=u", "host=db password=*** user=u"),
        (r"host=db password='s3\'cr et' user=u", "host=db password=*** user=u"),
        ("https://h/a?X-Amz-Signature=s3cret&sig=s3cret", "https://h/a?X-Amz-Signature=***&sig=***"),
        ("https://h/a?access_key=s3cret&auth=s3cret", "https://h/a?access_key=***&auth=***"),
        ("AccountKey=s3cret==;author=ada", "AccountKey=***;author=ada"),
        (
            "'postgresql://u:s3cret@h/db' and 'mysql://v:s3cret@i/db'",
            "'postgresql://u:***@h/db' and 'mysql://v:***@i/db'",
        ),
        ("postgresql://u@h/db on http://h:80/a", "postgresql://u@h/db on http://h:80/a"),
    ],
)
def test_passwords_are_hidden_and_the_rest_is_shown(text, shown):
    assert hide_passwords(text) == shown
