"""What Prometheus reads."""

from dataflix_stream_processors.masker_metrics import Metrics


def test_the_build_is_told() -> None:
    text = Metrics("t1").render().decode()
    assert 'masker_build_info{key_id="t1",version="' in text


def test_counts_have_names_of_tables_and_outcomes() -> None:
    metrics = Metrics("t1")
    metrics.events.labels("users", "u", "masked").inc(3)
    assert 'masker_events_total{op="u",outcome="masked",table="users"} 3.0' in metrics.render().decode()
