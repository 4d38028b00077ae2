"""Attribute inference attacks: how well users' attributes can be predicted from a trained model."""
