"""The task types of the shop: how often their tasks come, how long they run, and how they fail."""

from __future__ import annotations

from dataclasses import dataclass

SMTP = """Traceback (most recent call last):
  File "/srv/shop/shop/mail.py", line 41, in send_email
    smtp.send_message(message)
  File "/usr/lib/python3.12/smtplib.py", line 900, in sendmail
    raise SMTPRecipientsRefused(senderrs)
smtplib.SMTPRecipientsRefused: {'jan@exmaple.com': (550, b'5.1.1 User unknown')}
"""
CRASH = """Fatal Python error: Segmentation fault

Current thread 0x00007f3c1a7fe740 (most recent call first):
  File "/srv/shop/shop/images.py", line 88 in resample
  File "/srv/shop/shop/images.py", line 52 in resize_image
"""
REFUSED = """Traceback (most recent call last):
  File "/srv/shop/shop/search.py", line 29, in index_product
    client.post(f"/products/{product}", json=document)
ConnectionError: HTTPConnectionPool(host='search.internal', port=9200): connection refused
"""


@dataclass(frozen=True)
class Kind:
    """A task type: its tasks per second, the seconds of a run, and its failures."""

    name: str
    rate: float
    seconds: float
    workers: int
    fails: float = 0.0
    cause: str = "failed"
    error: str = ""
    traceback: str | None = None
    max_attempts: int = 5


KINDS = (
    Kind(
        "send_email",
        1.4,
        0.18,
        4,
        0.02,
        "failed",
        "SMTPRecipientsRefused: {'jan@exmaple.com': (550, b'5.1.1 User unknown')}",
        SMTP,
    ),
    Kind(
        "index_product",
        2.2,
        0.05,
        2,
        0.012,
        "failed",
        "ConnectionError: HTTPConnectionPool(host='search.internal', port=9200): connection refused",
        REFUSED,
    ),
    Kind("resize_image", 0.5, 1.9, 4, 0.03, "crash", "worker crashed: signal 11 (SIGSEGV)", None, 3),
    Kind("charge_card", 0.25, 0.7, 2, 0.02, "timeout", "task processing timeout: 10s", None),
    Kind("render_invoice", 0.12, 4.2, 2),
    Kind("sync_inventory", 0.02, 21.0, 1),
)
