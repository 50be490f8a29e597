"""Install, start, supervise and stop every server of Dataflix on one machine, without containers."""
