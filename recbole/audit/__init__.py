"""Attribute inference attacks, which measure how well users' attributes can be predicted from a trained model."""
