"""Work in processes of its own: jobs, workers, what they may need."""
