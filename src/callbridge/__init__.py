"""callbridge: every finished phone call of a PBX ends in the CRM, or in a place where a person can see why not."""

__version__ = "0.1.0"
