"""The commands by topic; ``COMMANDS`` of ``app.py`` lists them."""
