"""Scenarios: where deletion requests come from, and how their effect is evaluated."""
