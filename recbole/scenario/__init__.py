"""Scenarios: who requests to forget what (sensitive items, spam, attributes), and how unlearning is evaluated."""
