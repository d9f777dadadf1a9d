"""What is kept: journal, images, tables, and the folder that holds them."""
