"""Attacks: what can be read of people's attributes from what a model holds, and how well."""
