"""G-TopFreq: the globally most frequent items."""

from recbole.model.next_basket_recommender.gptopfreq import GPTopFreq


class GTopFreq(GPTopFreq):
    """Ranks items by the number of training baskets with them, the same for all users. See :class:`GPTopFreq`."""

    personal = False
