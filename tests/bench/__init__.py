"""What callbridge costs: `make bench` runs all of it and prints ratios against baselines of the same run."""
