"""What an artifact must give: computed, recorded, independent."""
