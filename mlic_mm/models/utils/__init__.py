"""What models share: modules by their names, and parts of mmdet."""
