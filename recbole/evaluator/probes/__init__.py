"""The probes, one per file. To add a probe, add a file here."""
