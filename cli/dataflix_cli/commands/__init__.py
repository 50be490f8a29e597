"""The commands: a module each, or one for several that belong together. ``lazy_commands.py`` lists them."""
