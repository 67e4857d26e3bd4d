"""Configs of mmengine: reading them, and the classes that their types name."""
