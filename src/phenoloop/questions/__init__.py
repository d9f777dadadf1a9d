"""What the report may claim, by the same code whoever chose the images."""
