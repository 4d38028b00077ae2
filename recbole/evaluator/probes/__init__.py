"""The probes (parts of an evaluation), one per file. To add a probe, add a file here."""
