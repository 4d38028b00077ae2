"""Where requests come from and what is asked about them: one file for each scenario, and what they read."""
