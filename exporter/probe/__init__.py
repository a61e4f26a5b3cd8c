"""What an artifact gives when it is loaded and run; one probe for each format."""
