"""What records the libraries that are installed, and how it is turned on."""
