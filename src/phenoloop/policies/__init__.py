"""What is imaged next: each policy is one file, all state comes from what it was told."""
