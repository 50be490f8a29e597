"""What the masker logs when something unforeseen happens."""

from dataflix_stream_processors.app import _safe_text
from dataflix_stream_processors.delivery import DeliveryError


def test_an_unforeseen_error_tells_its_place_and_no_value() -> None:
    def fail() -> None:
        raise KeyError("anna@example.org")

    try:
        fail()
    except KeyError as error:
        text = _safe_text(error)
    assert "anna" not in text
    assert text.startswith("KeyError at test_masker_app.py:")


def test_a_failed_delivery_tells_why() -> None:
    assert _safe_text(DeliveryError("5 messages refused")) == "5 messages refused"
