"""A release put where others load it from: buckets, folders and the Hugging Face Hub."""
