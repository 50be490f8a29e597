"""The commands of ``dataflix``, one module for each topic; ``COMMANDS`` in ``app.py`` lists them."""
