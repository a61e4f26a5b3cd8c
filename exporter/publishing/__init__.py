"""A release put where others load it from: buckets, folders, the Hugging Face Hub, Kaggle."""
