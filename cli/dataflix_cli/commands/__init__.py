"""The commands: a module each, or one for several that belong together. ``lazy.py`` lists them."""
