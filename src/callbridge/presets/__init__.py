"""PBXs described as data: the form of a preset file, the presets that we ship, and how they are found."""
