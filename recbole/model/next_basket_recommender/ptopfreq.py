"""P-TopFreq: the user's own most frequent items."""

from recbole.model.next_basket_recommender.gptopfreq import GPTopFreq


class PTopFreq(GPTopFreq):
    """Ranks items by the number of the user's baskets with them; many scores are equal. See :class:`GPTopFreq`."""

    general = False
