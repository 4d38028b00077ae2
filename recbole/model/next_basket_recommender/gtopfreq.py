"""The globally most frequent items."""

from recbole.model.next_basket_recommender.gptopfreq import GPTopFreq


class GTopFreq(GPTopFreq):
    """Ranks items by the number of training baskets with them, equally for all users. See :class:`GPTopFreq`."""

    personal = False
