"""Everybody's most frequent items."""

from recbole.model.next_basket_recommender.gptopfreq import GPTopFreq


class GTopFreq(GPTopFreq):
    """Ranks by the number of training baskets with the item, the same for everybody; see :class:`GPTopFreq`."""

    personal = False
