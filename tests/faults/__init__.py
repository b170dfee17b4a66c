"""Faults for real: processes killed and stopped, wires cut, disks that forget, and one judge over it all."""
